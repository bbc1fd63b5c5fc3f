"""Protocols that follow from one of the table by a rule, each under a name that says the rule.

``NAME-on-validation`` scores on the validation frames of protocol NAME: what is chosen by its numbers was chosen
without a test frame. ``NAME-trained-on-25-percent`` trains on a quarter of the training places.
"""

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Literal

from datasets.base import Protocol
from datasets.errors import CrossplaceError
from datasets.protocols import PROTOCOLS

ON_VALIDATION = "-on-validation"
_TRAINED_ON = re.compile(r"(.+)-trained-on-([1-9]\d?)-percent")


def trained_on(name: str, percent: int) -> str:
    """The name of protocol ``name`` with training on this part of its places."""
    return f"{name}-trained-on-{percent}-percent"


def base_and_change(name: str) -> tuple[str, Callable[[Protocol], Protocol]]:
    """The name of the protocol that ``name`` derives from, and what is done to it; one of the table stays as it is."""
    if name.endswith(ON_VALIDATION):
        return name.removesuffix(ON_VALIDATION), on_validation
    if found := _TRAINED_ON.fullmatch(name):
        return found[1], lambda protocol: on_part_of_training(protocol, int(found[2]))
    return name, lambda protocol: protocol


def protocol_named(name: str) -> Protocol | None:
    """The protocol called ``name``, of the table or derived from one of it; none if there is no such protocol."""
    base, change = base_and_change(name)
    return change(PROTOCOLS[base]) if base in PROTOCOLS else None


def on_validation(protocol: Protocol) -> Protocol:
    """``protocol`` with its validation frames as queries and as database; it trains as before.

    Listed pairs of test traversals become all ordered pairs of validation traversals.

    Raises:
        CrossplaceError: a protocol without validation frames.
    """
    validation = protocol.split.validation
    if not any(part.traversals for part in validation.alternatives()):
        raise CrossplaceError(
            f"protocol {protocol.name} keeps no validation frames apart, so that nothing can be scored without its "
            "test frames; choose another --protocol (crossplace list protocols), or data with its validation traversals"
        )
    return replace(
        protocol,
        name=protocol.name + ON_VALIDATION,
        title=f"{protocol.title}; scored on its validation frames",
        query=validation,
        database=validation,
        pairs=pairs_elsewhere(protocol),
        absent=(),
    )


def pairs_elsewhere(protocol: Protocol) -> Literal["across", "within"]:
    """Which traversals are searched by which among frames that are not tested: no listed pair names them."""
    return protocol.pairs if isinstance(protocol.pairs, str) else "across"


def on_part_of_training(protocol: Protocol, percent: int) -> Protocol:
    """``protocol`` trained on so many percent of its training places, which lie together: `Selection.middle_share`."""
    parts = protocol.split.train.alternatives()
    first, *others = (replace(part, middle_share=percent / 100, also=()) for part in parts)
    return replace(
        protocol,
        name=trained_on(protocol.name, percent),
        title=f"{protocol.title}; trained on {percent} % of its training places",
        split=replace(protocol.split, train=replace(first, also=tuple(others))),
    )
