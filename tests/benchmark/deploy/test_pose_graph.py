"""Poses that hold together: by hand, against finite differences, as files, and with closures that are wrong."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from benchmark.deploy.pose_graph import (
    Edge,
    PoseGraph,
    _System,
    chained,
    odometry_edges,
    read_g2o,
    relative_poses,
    solved,
    write_g2o,
)
from datasets.errors import CrossplaceError

UNIT = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
FIRST_FIXED = np.array([True, False, False])


def test_a_pose_ahead_and_to_the_left_is_seen_so() -> None:
    north = np.array([[2.0, 3.0, np.pi / 2]])
    seen = relative_poses(north, np.array([[1.0, 7.0, np.pi]]))  # 4 m further north, 1 m further west, turned left
    assert seen == pytest.approx(np.array([[4.0, 1.0, np.pi / 2]]))
    assert chained([2.0, 3.0, np.pi / 2], seen)[1] == pytest.approx([1.0, 7.0, -np.pi])


poses = arrays(np.float64, (6, 3), elements=st.floats(-3, 3))


@given(poses)
def test_steps_lead_back_to_the_poses_that_they_were_taken_from(drive: np.ndarray) -> None:
    steps = relative_poses(drive[:-1], drive[1:])
    assert chained(drive[0], steps) == pytest.approx(drive, abs=1e-9)


def graph_of(edges: list[Edge], start: np.ndarray, is_fixed: np.ndarray = FIRST_FIXED) -> PoseGraph:
    return PoseGraph(poses=start, edges=edges, is_fixed=is_fixed)


def test_a_disagreement_is_shared_by_variance() -> None:
    """Two steps of 1 m say 2 m, a third edge says 2.4 m with twice the variance: 0.4 m in parts of 1, 1 and 2."""
    twice = tuple(tuple(2 * value for value in row) for row in UNIT)
    edges = [
        Edge(start=0, end=1, measured=(1.0, 0.0, 0.0), covariance=UNIT),
        Edge(start=1, end=2, measured=(1.0, 0.0, 0.0), covariance=UNIT),
        Edge(start=0, end=2, measured=(2.4, 0.0, 0.0), covariance=twice),
    ]
    found = solved(graph_of(edges, np.array([[0.0, 0, 0], [0.7, 0, 0], [2.9, 0, 0]])))
    assert found == pytest.approx(np.array([[0, 0, 0], [1.1, 0, 0], [2.2, 0, 0]]), abs=1e-6)


def random_graph(seed: int, *, is_robust: bool) -> PoseGraph:
    random = np.random.default_rng(seed)
    edges = []
    for start, end in ((0, 1), (1, 2), (2, 3), (3, 0), (1, 3)):
        root = random.normal(size=(3, 3))
        covariance = tuple(map(tuple, (root @ root.T + 0.1 * np.eye(3)).tolist()))
        measured = tuple(random.normal(size=3).tolist())
        edges.append(Edge(start=start, end=end, measured=measured, covariance=covariance, is_robust=is_robust))
    return graph_of(edges, random.normal(size=(4, 3)), np.array([True, False, False, False]))


@pytest.mark.parametrize("is_robust", [False, True])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_the_jacobian_is_that_of_small_steps(is_robust: bool, scale: float) -> None:
    """With errors of every size: a robust edge is told by a series where it agrees."""
    for seed in range(5):
        graph = random_graph(seed, is_robust=is_robust)
        if scale < 1:  # poses that nearly agree with the edges
            seen = [relative_poses(graph.poses[[e.start]], graph.poses[[e.end]])[0] for e in graph.edges]
            near = [
                replace(e, measured=tuple((s + scale * 10).tolist())) for e, s in zip(graph.edges, seen, strict=True)
            ]
            graph = replace(graph, edges=near)
        system = _System.of(graph)
        exact = system.jacobian(graph.poses).toarray()
        step, by_steps = 1e-6, np.zeros_like(exact)
        for column in range(exact.shape[1]):
            moved = np.zeros(exact.shape[1])
            moved[column] = step
            ahead, behind = (system.residuals(graph.poses + sign * moved.reshape(-1, 3)) for sign in (1, -1))
            by_steps[:, column] = (ahead - behind) / (2 * step)
        assert exact == pytest.approx(by_steps, abs=1e-5, rel=1e-5)


@pytest.mark.parametrize("length", [0.0, 1e-3, 9.9e-3, 1.01e-2, 0.5, 30.0])
def test_robust_edges_count_by_the_logarithm(length: float) -> None:
    edge = Edge(start=0, end=1, measured=(0.0, 0.0, 0.0), covariance=UNIT, is_robust=True)
    system = _System.of(graph_of([edge], np.zeros((2, 3)), np.array([True, False])))
    residuals = system.residuals(np.array([[0.0, 0, 0], [length * 0.6, length * 0.8, 0]]))
    assert residuals @ residuals == pytest.approx(np.log1p(length**2), rel=1e-12, abs=1e-18)


def test_a_closure_that_is_wrong_moves_little_if_it_is_robust() -> None:
    truth = np.column_stack([np.arange(20.0), np.zeros(20), np.zeros(20)])
    odometry = odometry_edges(np.arange(20), relative_poses(truth[:-1], truth[1:]), (0.1, 0.1, 0.01))
    wrong = Edge(start=0, end=19, measured=(-500.0, 300.0, 2.0), covariance=UNIT)
    is_fixed = np.arange(20) == 0
    plain = solved(PoseGraph(poses=truth, edges=[*odometry, wrong], is_fixed=is_fixed))
    robust = solved(PoseGraph(poses=truth, edges=[*odometry, replace(wrong, is_robust=True)], is_fixed=is_fixed))
    assert np.abs(plain - truth).max() > 10
    assert np.abs(robust - truth).max() < 0.1


def test_the_file_says_what_g2o_expects(tmp_path: Path) -> None:
    covariance = ((4.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 0.25))
    edges = [Edge(start=0, end=1, measured=(1.0, 0.5, 0.25), covariance=covariance)]
    graph = PoseGraph(poses=np.array([[0.0, 0, 0], [1.5, 0, 0.5]]), edges=edges, is_fixed=np.array([True, False]))
    write_g2o(tmp_path / "a.g2o", graph)
    assert (tmp_path / "a.g2o").read_text().splitlines() == [
        "VERTEX_SE2 0 0.0 0.0 0.0",
        "VERTEX_SE2 1 1.5 0.0 0.5",
        "FIX 0",
        "EDGE_SE2 0 1 1.0 0.5 0.25 0.25 0.0 0.0 1.0 0.0 4.0",
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_graph_comes_back_from_its_file(seed: int, tmp_path: Path) -> None:
    graph = random_graph(seed, is_robust=False)
    write_g2o(tmp_path / "a.g2o", graph)
    again = read_g2o(tmp_path / "a.g2o")
    assert (again.poses == graph.poses).all()
    assert (again.is_fixed == graph.is_fixed).all()
    for a, b in zip(again.edges, graph.edges, strict=True):
        assert (a.start, a.end, a.measured) == (b.start, b.end, b.measured)
        assert np.array(a.covariance) == pytest.approx(np.array(b.covariance), rel=1e-6)
    assert solved(again) == pytest.approx(solved(graph), abs=1e-5)


@pytest.mark.parametrize(
    "line",
    [
        "EDGE_SE3 0 1 1 2",
        "VERTEX_SE2 7 0 0 0",
        "VERTEX_SE2 2 0 0",
        "FIX 9",
        "EDGE_SE2 0 1 1 0 0 1 0 0 1 0",
        "EDGE_SE2 0 5 1 0 0 1 0 0 1 0 1",
        "EDGE_SE2 0 1 1 0 0 0 0 0 0 0 0",
        "EDGE_SE2 0 1 one 0 0 1 0 0 1 0 1",
        "",
    ],
)
def test_a_line_of_another_kind_is_named_and_can_be_taken_out(line: str, tmp_path: Path) -> None:
    whole = ["VERTEX_SE2 0 0 0 0", "VERTEX_SE2 1 1 0 0", "FIX 0", "EDGE_SE2 0 1 1 0 0 1 0 0 1 0 1"]
    (tmp_path / "a.g2o").write_text("\n".join([*whole[:3], line, whole[3]]))
    with pytest.raises(CrossplaceError, match=r"a\.g2o: line 4: expected VERTEX_SE2 .*; take other kinds of lines out"):
        read_g2o(tmp_path / "a.g2o")
    (tmp_path / "a.g2o").write_text("\n".join(whole))
    assert len(read_g2o(tmp_path / "a.g2o").edges) == 1


def test_graphs_that_have_no_solution_are_refused() -> None:
    edge = Edge(start=0, end=1, measured=(1.0, 0.0, 0.0), covariance=UNIT)
    graph = graph_of([edge], np.zeros((3, 3)), np.zeros(3, dtype=bool))
    with pytest.raises(CrossplaceError, match="no pose is fixed, so that all could move together; fix"):
        solved(graph)
    flat = replace(edge, covariance=((1.0, 0.0, 0.0), (0.0, 0.0, 0.0), (0.0, 0.0, 1.0)))
    with pytest.raises(CrossplaceError, match="not positive definite; give each edge a symmetric matrix"):
        solved(graph_of([flat], np.zeros((3, 3))))
    assert solved(graph_of([edge], np.zeros((2, 3)), np.array([True, False])))[1] == pytest.approx([1, 0, 0])
    assert (solved(graph_of([], np.ones((3, 3)))) == 1).all()
