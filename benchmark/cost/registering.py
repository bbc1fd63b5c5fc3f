"""What registration costs, as a file of costs: each registration of a run is a sample, timed by itself."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from benchmark.cost.readings import Reading, exact, measures_of
from benchmark.keys import key_of
from benchmark.records.cost import REGISTRATIONS, CostSheet, InputsRecord
from benchmark.records.environment import harness
from benchmark.records.schema import MethodRecord
from datasets.prepared import PreparedDataset
from methods.registration import Registrar


def registration_sheet(
    registrar: Registrar,
    named: MethodRecord,
    dataset: PreparedDataset,
    environment: Mapping[str, Any],
    seconds: Mapping[str, Sequence[float]],
    points: float,
) -> CostSheet:
    """The sheet of one run; ``seconds`` holds the times of each part, ``points`` the median size of a local map."""
    readings = [
        Reading(part=part, quantity="latency", unit="ms", samples=[1000 * s for s in times], inputs=range(len(times)))
        for part, times in seconds.items()
    ]
    n_parameters = sum(parameter.numel() for parameter in registrar.parameters())
    readings.append(exact("method", "parameters", "M", n_parameters / 1e6))
    camera = next((t.intrinsics for t in dataset.traversals.values() if t.intrinsics), None)
    return CostSheet(
        key=key_of(REGISTRATIONS, named.name, named.config_key, named.weights_sha256, dataset.fingerprint),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        harness=harness(),
        environment=dict(environment),
        method=named.name,
        preset=named.preset + (f"+{named.variant}" if named.variant else ""),
        config=named.config,
        of=REGISTRATIONS,
        inputs=InputsRecord(
            dataset=dataset.name,
            fingerprint=dataset.fingerprint,
            options=dataset.options,
            n_frames=max(map(len, seconds.values())),
            points=points,
            image_size=(camera.width, camera.height) if camera else None,
        ),
        measures=measures_of(readings),
    )
