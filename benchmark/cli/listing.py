"""What ``crossplace list`` shows: a table of a line an entry, or all about one entry."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

from benchmark.catalogue import ListEntry, MethodEntry, PresetEntry, method_entry, registrar_entry
from benchmark.frames.examining import check_accepted
from benchmark.frames.perturbations import PERTURBATIONS
from benchmark.frames.starts import RETRIEVED, STARTS
from benchmark.registry import DATASETS, METHODS, REGISTRARS
from benchmark.report.figures import FIGURES, PICTURES
from benchmark.report.screen import paragraphs, screen
from benchmark.report.table import Cell, Column, Table, number, text
from datasets.derived import protocol_named
from datasets.doctor.rules import RULES
from datasets.errors import CrossplaceError, unknown
from datasets.protocols import PROTOCOLS


@dataclass(frozen=True, kw_only=True)
class Listing:
    """One thing that can be listed."""

    table: Callable[[], Table]
    about: Callable[[str], str] | None = None
    """All about the entry of this name."""


def listing(what: str, name: str | None = None, width: int | None = None) -> str:
    """The table of everything of a kind, or all about one entry of it."""
    found = LISTINGS[what]
    if name is None:
        return screen(found.table(), width)
    if found.about is None:
        raise CrossplaceError(f"crossplace list {what} takes no name: the table says all; leave {name!r} out")
    return paragraphs(found.about(name).split("\n"), width)


# --- methods -------------------------------------------------------------------------------------


def _methods() -> Table:
    columns = [Column(name=name) for name in ("method", "what it is", "year")]
    columns += [Column(name="place", unit="KiB"), Column(name="network", unit="M", digits=2)]
    rows = []
    described, broken = _described_methods()
    for name, entry in described.items():
        quick = entry.presets.get("quick", PresetEntry(numbers=""))
        stored = [size for size in (quick.image_bytes, quick.cloud_bytes) if size is not None]
        rows.append(
            [
                text(name),
                text(str(entry.card["title"])),
                text(str(entry.card["year"])),
                number(max(stored) / 1024 if stored else None),
                number(None if quick.parameters is None else quick.parameters / 1e6),
            ]
        )
    notes = [
        "Place: what a map keeps of a place, and network: millions of parameters, both in the preset quick.",
        "All about a method: crossplace list methods NAME. All presets: crossplace list presets.",
        *broken,
    ]
    return Table(columns=columns, rows=rows, notes=notes)


def _described_methods() -> tuple[dict[str, MethodEntry], list[str]]:
    """What is known of each method, and a sentence for each of another package that cannot be imported."""
    described, broken = {}, []
    for name in METHODS.names():
        try:
            described[name] = method_entry(name)
        except CrossplaceError as error:  # other methods are shown all the same
            broken.append(f"{name} is not shown. {error}.")
    return described, broken


def _method(name: str) -> str:
    entry = method_entry(name)
    presets = [f"preset {preset}: {_words_of(found)}" for preset, found in entry.presets.items()]
    return "\n".join([name, *_card(entry.card), *presets, *_variant_lines(entry)])


def _variant_lines(entry: ListEntry) -> list[str]:
    return [f"variant {variant}: {question}" for variant, question in entry.variants.items()]


def _words_of(preset: PresetEntry) -> str:
    if preset.parameters is None:
        return preset.numbers
    stored = " / ".join(dict.fromkeys(f"{size:,}" for size in (preset.image_bytes, preset.cloud_bytes)))
    return f"{preset.numbers} numbers, {stored} bytes per place, {preset.parameters:,} parameters"


def _presets() -> Table:
    columns = [Column(name="method"), Column(name="preset"), Column(name="numbers of a place")]
    columns += [Column(name="bytes of an image", digits=0), Column(name="of a cloud", digits=0)]
    columns += [Column(name="parameters", digits=0)]
    described, broken = _described_methods()
    rows = [
        [text(name), text(preset), text(p.numbers), *map(number, (p.image_bytes, p.cloud_bytes, p.parameters))]
        for name, entry in described.items()
        for preset, p in entry.presets.items()
    ]
    return Table(columns=columns, rows=rows, notes=broken)


def _variants() -> Table:
    columns = [Column(name="method"), Column(name="question"), Column(name="variants")]
    rows = []
    described, broken = _described_methods()
    for name, entry in described.items():
        found = entry.variants
        for question in dict.fromkeys(found.values()):
            names = [variant for variant, asked in found.items() if asked == question]
            rows.append([text(name), text(question), text(", ".join(names))])
    return Table(columns=columns, rows=rows, notes=broken)


def _registrars() -> Table:
    cards = {name: registrar_entry(name).card for name in REGISTRARS.names()}
    rows = [[text(name), text(str(card["title"])), text(str(card["year"]))] for name, card in cards.items()]
    notes = ["All about a registrar: crossplace list registrars NAME."]
    return Table(columns=[Column(name=name) for name in ("registrar", "what it is", "year")], rows=rows, notes=notes)


def _registrar(name: str) -> str:
    entry = registrar_entry(name)
    presets = [
        f"preset {preset}" + (f": {parameters:,} parameters" if parameters else "")
        for preset, parameters in entry.presets.items()
    ]
    return "\n".join([name, *_card(entry.card), *presets, *_variant_lines(entry)])


def _starts() -> Table:
    rows = [[text(name), text(start.title)] for name, start in STARTS.items()]
    rows.append([text(RETRIEVED), text("the frames that a method retrieved (--result)")])
    return Table(columns=[Column(name="start"), Column(name="where registration starts")], rows=rows)


# --- data ----------------------------------------------------------------------------------------


def _datasets() -> Table:
    columns = [Column(name=name) for name in ("dataset", "what it is", "licence", "protocol")]
    rows = []
    for name in DATASETS.names():
        kind = DATASETS.get(name)
        rows.append([text(name), text(kind.card.title), text(kind.card.licence), text(kind.default_protocol)])
    return Table(columns=columns, rows=rows, notes=["All about a dataset: crossplace list datasets NAME."])


def _dataset(name: str) -> str:
    card = DATASETS.get(name).card
    return "\n".join([name, *_card({f.name: getattr(card, f.name) for f in fields(card)})])


def _card(card: Mapping[str, Any]) -> list[str]:
    return [f"{field}: {value}" for field, value in card.items() if value != ""]


def _protocols() -> Table:
    columns = [Column(name=name) for name in ("protocol", "dataset", "what is asked")]
    columns.append(Column(name="radius", unit="m", digits=0))
    rows = [[text(n), text(p.dataset), text(p.title), number(p.radius_m)] for n, p in PROTOCOLS.items()]
    notes = [
        "All choices of a protocol: crossplace list protocols NAME.",
        "NAME-on-validation scores on the validation frames, NAME-trained-on-25-percent trains on part of the places.",
    ]
    return Table(columns=columns, rows=rows, notes=notes)


def _protocol(name: str) -> str:
    """The choices that define a protocol; selections by what they leave out."""
    if (found := protocol_named(name)) is None:
        raise CrossplaceError(unknown("protocol", name, sorted(PROTOCOLS)))
    return "\n".join([name, *(f"{f.name}: {_words(getattr(found, f.name))}" for f in fields(found)[1:])])


def _words(value: Any) -> str:
    """``value`` in one line; a dataclass by the fields that say something."""
    if is_dataclass(value):
        parts = [(f, getattr(value, f.name)) for f in fields(value)]
        told = [(f.name, part) for f, part in parts if "added" not in f.metadata or part != f.default]
        return f"({', '.join(f'{name} {_words(part)}' for name, part in told if part not in (None, ()))})"
    if isinstance(value, tuple):
        return (", " if any(isinstance(part, tuple) for part in value) else " ").join(map(_words, value)) or "none"
    return "none" if value is None else str(value)


def _perturbations() -> Table:
    columns = [Column(name=name) for name in ("perturbation", "what is changed", "of", "severity 1 to 5", "unit")]
    rows: list[list[Cell]] = [
        [text(name), text(p.title), text(f"{p.modality}s"), text(" ".join(f"{v:g}" for v in p.values)), text(p.unit)]
        for name, p in PERTURBATIONS.items()
    ]
    return Table(columns=columns, rows=rows)


def _figures() -> Table:
    rows = [[text(name), text(figure.title)] for table in (FIGURES, PICTURES) for name, figure in table.items()]
    drawn = f"Draw {' and '.join(PICTURES)} of a dataset: crossplace data stats DATASET --figure NAME."
    notes = ["Draw figures of results: crossplace figures --only NAME.", drawn]
    return Table(columns=[Column(name="figure"), Column(name="what it shows")], rows=rows, notes=notes)


def _rules() -> Table:
    rows = [[text(name), text(rule.title), text(rule.expected)] for name, rule in RULES.items()]
    notes = ["Look at data: crossplace data check DATASET. All about a rule: crossplace list rules NAME."]
    return Table(
        columns=[Column(name=name) for name in ("rule", "what is measured", "expected")], rows=rows, notes=notes
    )


def _rule(name: str) -> str:
    check_accepted([name])
    rule = RULES[name]
    lines = [name, f"measured: {rule.title}", f"expected: {rule.expected}", f"from: {rule.source}"]
    for word, limit in (("less", rule.below), ("more", rule.above)):
        if limit is not None:
            fault = "" if limit.fault is None else f"; a fault beyond {limit.fault:g}{rule.unit}"
            lines.append(f"if it is {word}: {limit.cause}{fault}")
    ends = [limit for limit in (rule.below, rule.above) if limit is not None]
    lines += dict.fromkeys(convention for limit in ends for convention in limit.conventions)
    return "\n".join(lines)


LISTINGS: dict[str, Listing] = {
    "methods": Listing(table=_methods, about=_method),
    "presets": Listing(table=_presets),
    "variants": Listing(table=_variants),
    "registrars": Listing(table=_registrars, about=_registrar),
    "starts": Listing(table=_starts),
    "datasets": Listing(table=_datasets, about=_dataset),
    "protocols": Listing(table=_protocols, about=_protocol),
    "perturbations": Listing(table=_perturbations),
    "figures": Listing(table=_figures),
    "rules": Listing(table=_rules, about=_rule),
}
"""Everything that can be listed."""
