"""Variants that methods share whose pooling keeps a layout and whose training is contrastive."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from methods.base import MethodConfig, Variant
from methods.layers.layout_pool import Layout

Change = Callable[[Any], MethodConfig]


def changed(**fields: Any) -> Change:
    """The change of these fields of a configuration."""
    return lambda config: replace(config, **fields)


def trained(**fields: Any) -> Change:
    """The change of these fields of ``training``."""
    return lambda config: replace(config, training=replace(config.training, **fields))


def _all_around(config: Any) -> MethodConfig:
    """Views every 15°; training turns the cloud against its image by as much as half of that."""
    return changed(headings=24, descriptor_size=64)(trained(yaw_deg=7.5)(config))


INPUTS = "What do the inputs bring?"
_LAYOUT = "Does the pooling have to keep the layout?"
CHANGES = "What do the random changes bring?"
HEADING = "Can a place be found from another heading?"

LAYOUT_VARIANTS: dict[str, Variant] = {
    "nearness-alone": Variant(question=INPUTS, change=changed(has_height=False)),
    "gem": Variant(question=_LAYOUT, change=changed(layout=None)),
    "one-cell": Variant(question=_LAYOUT, change=changed(layout=Layout(rows=1, columns=1, channels=128))),
    "coarse-layout": Variant(question=_LAYOUT, change=changed(layout=Layout(rows=2, columns=4, channels=48))),
    "plain-jitter": Variant(question=CHANGES, change=trained(relighting=None)),
    "no-turn": Variant(question=CHANGES, change=trained(turn_deg=0.0, yaw_deg=0.0)),
    "no-losses": Variant(question=CHANGES, change=trained(lost_points=0.0, hole_probability=0.0)),
    "no-mirror": Variant(question=CHANGES, change=trained(mirror_probability=0.0)),
    "all-around": Variant(question=HEADING, change=_all_around),
    "64-numbers": Variant(question="How small may a place be?", change=changed(descriptor_size=64)),
}
"""Any of them can be combined: ``--variant all-around+plain-jitter``."""
