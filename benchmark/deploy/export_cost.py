"""What exported files cost, as a file beside the costs of the method: sizes, and times in turn with the network."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from benchmark.cost.inputs import Inputs
from benchmark.cost.probes import latency
from benchmark.cost.readings import Reading, exact, hole, measures_of
from benchmark.deploy.export import Exported, compared_rows
from benchmark.device import torch_device
from benchmark.keys import key_of
from benchmark.records.cost import EXPORTS, CostSheet
from benchmark.records.environment import harness
from benchmark.report.comparison import preset_of
from benchmark.runs.plan import Plan
from benchmark.runs.run import environment_of, method_record
from datasets.base import MODALITIES

LATENCY, SIZE = (latency.QUANTITY, latency.UNIT), ("file size", "MiB")
"""What is read of a file, and its unit."""
NO_FILE = "it is timed beside a file of the whole branch, and there is none"
NETWORK = "network"
"""What stands in place of a form for the network itself."""


def cost_of_exports(plan: Plan, found: Sequence[Exported]) -> CostSheet:
    """The cost of what was exported by a plan, whose weights are there; parts of a branch are left out."""
    inputs = Inputs.of(plan.dataset, compared_rows(plan), torch_device(plan.device)).record()
    method, environment = method_record(plan), environment_of(plan)
    return CostSheet(
        key=key_of(EXPORTS, plan.weights_key, inputs.fingerprint, environment),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        harness=harness(),
        environment=environment,
        method=method.name,
        preset=preset_of(method),
        config=method.config,
        of=EXPORTS,
        inputs=inputs,
        measures=measures_of(_readings([one for one in found if one.part in MODALITIES])),
    )


def _readings(found: Sequence[Exported]) -> Iterator[Reading]:
    """The network of each branch, then each of its files: how long it takes, and how large it is."""
    timed: set[str] = set()
    for one in found:
        if one.part not in timed:
            timed.add(one.part)
            network = f"{one.part} {NETWORK}"
            yield _series(network, one.network_ms) if one.network_ms else hole(network, *LATENCY, NO_FILE)
        name = f"{one.part} {one.form}"
        if one.hole:
            yield from (hole(name, *what, one.hole) for what in (LATENCY, SIZE))
        elif one.size_mib is not None:
            yield _series(name, one.file_ms)
            yield exact(name, *SIZE, one.size_mib)


def _series(part: str, times_ms: Sequence[float]) -> Reading:
    quantity, unit = LATENCY
    return Reading(part=part, quantity=quantity, unit=unit, samples=times_ms)
