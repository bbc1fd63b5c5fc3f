"""The command ``selftest``: whether everything runs on a machine, how fast, and what is learnt on it."""

from dataclasses import dataclass
from pathlib import Path

from benchmark.console import say
from benchmark.request import TRAINED_BY_SELFTEST


@dataclass(frozen=True, kw_only=True)
class SelfTest:
    """Try this machine: tests, sparse convolutions, compiled networks, cost, and short trainings (docs/cuda.md).

    Example: crossplace selftest --device cuda --minutes 25
    """

    device: str = "auto"
    """Device of networks: auto, cpu, cuda, cuda:1 and so on; auto is CUDA where there is one."""
    minutes: float = 25.0
    """Time of the whole test, which the steps share. Each step is ended at its limit."""
    steps: tuple[str, ...] = ()
    """Steps to run: sparse, device, compiled, data, cost, training; default: all."""
    methods: tuple[str, ...] = TRAINED_BY_SELFTEST
    """Methods to train (crossplace list methods)."""
    town: str | None = None
    """Preset of the town that they train on; default: large on CUDA, small on a CPU."""
    output: Path = Path("selftest")
    """Folder to write into; OUTPUT/home is small and holds all that is worth keeping."""

    def __call__(self) -> None:
        """Run the steps, print what came of them, and say where the summary is."""
        from benchmark import machine
        from benchmark.registry import METHODS
        from datasets.errors import CrossplaceError, unknown
        from datasets.town.town import PRESETS

        if not self.methods:
            raise CrossplaceError(
                "--methods needs names of methods (crossplace list methods); leave it out for the usual"
            )
        for name in self.methods:
            METHODS.check(name)
        if not self.minutes > 0:
            raise CrossplaceError(f"--minutes: expected a number above 0, found {self.minutes:g}")
        device = machine.pick_device(self.device)
        town = self.town or ("small" if device == "cpu" else "large")
        if town not in PRESETS:
            raise CrossplaceError(unknown("preset of the town", town, list(PRESETS)))
        from benchmark.report.screen import screen_section
        from benchmark.runs.selftest import STEPS, Tryout, run_steps
        from benchmark.runs.taking_home import steps_section, take_home

        for name in self.steps:
            if name not in STEPS:
                raise CrossplaceError(unknown("step", name, list(STEPS)))
        asked = Tryout(device=device, town=town, methods=self.methods, folder=self.output.absolute())
        chosen = [name for name in STEPS if name in (self.steps or STEPS)]
        for outcomes in run_steps(asked, chosen, self.minutes):
            summary = take_home(asked, outcomes)  # each time, so that a machine that goes away leaves something
        say(screen_section(steps_section(outcomes)))
        say(f"written: {summary}")
        bad = [outcome.step for outcome in outcomes if outcome.state in ("failed", "out of time")]
        if bad:
            raise CrossplaceError(
                f"not passed: {', '.join(dict.fromkeys(bad))}; {asked.work / 'logs'} holds what they printed"
            )
