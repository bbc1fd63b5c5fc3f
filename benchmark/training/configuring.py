"""From a request to a method's configuration: preset, variant, share of the schedule, backbone weights."""

from dataclasses import fields, is_dataclass, replace
from itertools import accumulate
from pathlib import Path
from typing import Any, get_type_hints

from pydantic import TypeAdapter, ValidationError

from benchmark.request import LONGEST_SHARE, MethodOptions
from datasets.errors import CrossplaceError, unknown
from datasets.files import first_fault, sha256_of
from methods.base import PACKAGE, Method, MethodConfig
from methods.layers.depth.sources import with_depth, without_folder
from methods.layers.package_weights import packaged
from methods.recipe import recipes_in, shortened
from methods.registration import Registrar

Configurable = type[Method] | type[Registrar]
"""What has presets and variants."""


def configure(method: Configurable, request: MethodOptions) -> MethodConfig:
    """The preset with the command line's variant, share of the schedule, backbone weights and source of depth."""
    if not 0 < request.share <= LONGEST_SHARE:
        raise CrossplaceError(
            f"share of the schedule: expected a number above 0 and up to {LONGEST_SHARE}, found {request.share}"
        )
    config = _whole_schedule(method, request)
    config = config if request.depth is None else with_depth(config, request.depth)
    weights = config.weights if request.weights is None else request.weights
    kept = config.weights_sha256 if weights == config.weights else ""
    sha256 = request.weights_sha256 or _content(weights, config) or kept
    return replace(shortened(config, request.share), weights=weights, weights_sha256=sha256)


def _content(weights: str, config: MethodConfig) -> str:
    """SHA-256 of the weights, if they are a package's or a file.

    Weights are identified by what they hold. So another file at the same path never meets old results.
    """
    if weights != PACKAGE:
        file = Path(weights).expanduser()
        return sha256_of(file) if file.is_file() else ""
    found = packaged(config.backbone)
    if config.image and not found.fits(config.image):
        raise CrossplaceError(
            f"--weights {PACKAGE}: the weights of {config.backbone} expect images with mean {found.mean[0]:.3f} and "
            f"deviation {found.std[0]:.3f} in all channels; choose a preset whose images are so, such as pretrained"
        )
    return found.sha256


def planned_share(method: Configurable, request: MethodOptions) -> float:
    """Training epochs that ``request`` plans of those of its preset and variant."""
    whole = _n_epochs(_whole_schedule(method, request))
    return _n_epochs(configure(method, request)) / whole if whole else 1.0


def without_path(config: MethodConfig) -> MethodConfig:
    """What identifies a configuration: files of weights and of depth by name and hash, wherever they lie."""
    return without_folder(replace(config, weights=Path(config.weights).name))


def _whole_schedule(method: Configurable, request: MethodOptions) -> MethodConfig:
    if request.preset not in method.presets:
        raise CrossplaceError(unknown(f"preset of {request.name}", request.preset, sorted(method.presets)))
    config = method.presets[request.preset]
    for name in filter(None, request.variant.split("+")):
        path, is_setting, value = name.partition("=")
        if is_setting:
            config = with_setting(config, path, value)
            continue
        if name not in method.variants:
            raise CrossplaceError(unknown(f"variant of {request.name}", name, list(method.variants)))
        config = method.variants[name].change(config)
    return config


def with_setting(config: Any, path: str, text: str) -> Any:
    """``config`` with another value at ``path``, such as ``recipe.learning_rate``; ``text`` is read as its type.

    Raises:
        CrossplaceError: no such setting, or no value of its type.
    """
    if path not in (known := settings_of(config)):
        raise CrossplaceError(unknown("setting", path, known))
    *outer, name = path.split(".")
    parts = list(accumulate(outer, getattr, initial=config))
    kind: TypeAdapter[Any] = TypeAdapter(get_type_hints(type(parts[-1]))[name])
    try:
        is_list = text.startswith("[")
        value = kind.validate_python(text.strip("[]").split(",")) if is_list else kind.validate_strings(text)
    except ValidationError as error:
        raise CrossplaceError(f"setting {path}={text}: {first_fault(error)}; give another value") from error
    for part, step in zip(reversed(parts), (name, *reversed(outer)), strict=True):
        value = replace(part, **{step: value})
    return value


def settings_of(config: Any) -> list[str]:
    """The paths of all single values of a configuration and of its parts."""
    found: list[str] = []
    for f in fields(config):
        part = getattr(config, f.name)
        found += [f"{f.name}.{path}" for path in settings_of(part)] if is_dataclass(part) else [f.name]
    return found


def _n_epochs(config: MethodConfig) -> int:
    return sum(recipe.epochs for recipe in recipes_in(config))
