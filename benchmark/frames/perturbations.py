"""Named perturbations of the frames that are evaluated, in five severities.

Each belongs to one modality (calibration to the cloud, which is projected with it); which side of a search it then
changes is said by ``Direction.perturbed_side``. What is random depends on seed, perturbation and frame (or traversal)
alone: not on severity, so that a worse one continues a milder one, and not on the batch. docs/robustness.md says what
the severities stand for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmark.frames import distortions
from benchmark.request import DEFAULT_SEVERITY, PerturbationOptions
from datasets.base import Modality
from datasets.errors import CrossplaceError, unknown
from datasets.randomness import generator

if TYPE_CHECKING:
    from methods.batch import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturbation:
    """One line of the table."""

    title: str
    modality: Modality
    unit: str
    values: tuple[float, float, float, float, float]
    """Values of severity 1 to 5, ascending."""
    change: Callable[["Sample", float, np.random.Generator], "Sample"]
    """A sample that has the modality, changed by this much."""
    by_traversal: bool = False
    """One random unit vector a traversal, instead of what each frame draws for itself."""
    version: int = 1
    """Raised whenever the same value, seed and frame would be changed in another way."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Perturber:
    """A perturbation at one severity, with its seed."""

    name: str
    severity: int
    seed: int

    @classmethod
    def of(cls, options: PerturbationOptions, seed: int) -> "Perturber | None":
        """What ``options`` ask for; none if nothing is to be changed."""
        name, severity = options.perturb, options.severity
        if name is None:
            if severity != DEFAULT_SEVERITY:
                raise CrossplaceError(
                    f"--severity {severity} says how much, not what: name a perturbation with --perturb"
                )
            return None
        if name not in PERTURBATIONS:
            raise CrossplaceError(unknown("perturbation", name, list(PERTURBATIONS)))
        return cls(name=name, severity=severity, seed=seed) if severity else None

    @property
    def kind(self) -> Perturbation:
        """Its line of the table."""
        return PERTURBATIONS[self.name]

    @property
    def value(self) -> float:
        """How much is changed, in the perturbation's unit."""
        return self.kind.values[self.severity - 1]

    @property
    def identity(self) -> dict[str, Any]:
        """What perturbed descriptors depend on beside those of the clean frames."""
        return {"name": self.name, "version": self.kind.version, "value": self.value, "seed": self.seed}

    def __call__(self, sample: "Sample") -> "Sample":
        """The perturbed sample; one without the modality stays as it is."""
        if (sample.image if self.kind.modality == "image" else sample.points) is None:
            return sample
        frame = sample.frame
        rng = generator(self.seed, self.name, frame.traversal if self.kind.by_traversal else frame.frame_id)
        return self.kind.change(sample, self.value, rng)

    def drawn(self, traversals: Sequence[str]) -> dict[str, list[float]]:
        """The random unit vector of each traversal; empty where frames draw their own random numbers."""
        names = traversals if self.kind.by_traversal else ()
        return {name: distortions.unit_vector(generator(self.seed, self.name, name)) for name in names}


PERTURBATIONS: dict[str, Perturbation] = {
    "yaw-offset": Perturbation(
        title="The vehicle stands turned about the vertical",
        modality="cloud",
        unit="°",
        values=(5.0, 10.0, 20.0, 45.0, 90.0),
        change=distortions.turn,
    ),
    "fewer-beams": Perturbation(
        title="A LiDAR with fewer beams",
        modality="cloud",
        unit="beams to one kept",
        values=(2.0, 3.0, 4.0, 6.0, 8.0),
        change=distortions.thin_beams,
    ),
    "range-noise": Perturbation(
        title="Noise of the measured ranges (standard deviation)",
        modality="cloud",
        unit="m",
        values=(0.02, 0.05, 0.1, 0.2, 0.5),
        change=distortions.shake_ranges,
    ),
    "point-dropout": Perturbation(
        title="Points lost at random",
        modality="cloud",
        unit="of the points",
        values=(0.1, 0.25, 0.5, 0.75, 0.9),
        change=distortions.drop_points,
    ),
    "occluded-sector": Perturbation(
        title="A sector of azimuth without points, centred within the camera's view",
        modality="cloud",
        unit="°",
        values=(10.0, 20.0, 40.0, 60.0, 80.0),
        change=distortions.occlude,
    ),
    "calibration-translation": Perturbation(
        title="The camera stands elsewhere than calibrated",
        modality="cloud",
        unit="m",
        values=(0.05, 0.1, 0.2, 0.5, 1.0),
        change=distortions.shift_camera,
        by_traversal=True,
    ),
    "calibration-rotation": Perturbation(
        title="The camera looks elsewhere than calibrated",
        modality="cloud",
        unit="°",
        values=(0.5, 1.0, 2.0, 5.0, 10.0),
        change=distortions.tilt_camera,
        by_traversal=True,
    ),
    "image-blur": Perturbation(
        title="Gaussian blur (standard deviation)",
        modality="image",
        unit="of the width",
        values=(0.004, 0.008, 0.012, 0.02, 0.03),
        change=distortions.blur,
    ),
    "image-darkness": Perturbation(
        title="Underexposure in linear light, stored in 8 bits",
        modality="image",
        unit="stops",
        values=(1.0, 2.0, 4.0, 6.0, 8.0),
        change=distortions.darken,
    ),
    "image-noise": Perturbation(
        title="Read and shot noise (standard deviation at white)",
        modality="image",
        unit="of 255",
        values=(5.0, 10.0, 20.0, 40.0, 80.0),
        change=distortions.add_noise,
    ),
}
