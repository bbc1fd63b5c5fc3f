"""What each trap of docs/footguns.md is worth: its table, measured.

Wrong ways of counting that the suite cannot be asked for are written here, beside the right ones of the suite.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float
from measuring import (
    CLOUD_TO_CLOUD,
    IMAGE_TO_CLOUD,
    Encoded,
    Number,
    Rows,
    evaluated,
    given,
    headline,
    percent,
    recalls,
    shipped,
    words,
)
from numpy import ndarray
from torch.nn.functional import adaptive_avg_pool1d, adaptive_avg_pool2d

from benchmark.contract.checks import is_alone_in_a_batch
from benchmark.contract.subject import BrokenContractError, Subject
from benchmark.descriptors.encoding import encode_batch
from benchmark.descriptors.files import Descriptors
from benchmark.evaluation.distances import distances
from benchmark.evaluation.evaluate import PairEvaluation
from benchmark.evaluation.metrics import mean_over_pairs, one_percent_depth, pooled, recall_at
from benchmark.protocol.ground_truth import relations
from benchmark.protocol.leaks import find_leaks
from benchmark.protocol.selection import select
from benchmark.records.recording import direction_records, rank_arrays
from datasets.base import Frames, OnePercent, Protocol, Selection
from datasets.doctor.examination import Examination
from datasets.doctor.examine import examine
from datasets.prepared import PreparedDataset
from datasets.protocols import PROTOCOLS
from methods.base import Method
from methods.batch import collate, load_sample
from methods.height_histogram import HeightHistogram

TOWN = PROTOCOLS["town"]
TEST_DRIVES = ("test-day", "test-evening")
"""The drives that the protocol ``town`` tests on in the preset ``tiny``."""

# --- frames of reference ---------------------------------------------------------------------------

HALF_A_TURN = np.diag([-1.0, -1.0, 1.0, 1.0])

CALIBRATIONS: dict[str, Callable[[Float[ndarray, "4 4"]], Float[ndarray, "4 4"]]] = {
    "as calibrated": lambda matrix: matrix,
    "inverted: `lidar_from_camera` was written": np.linalg.inv,
    "axes of the LiDAR: x ahead, z up": lambda matrix: np.eye(4),
    "turned by 180°: it looks back": lambda matrix: matrix @ HALF_A_TURN,
}


def with_calibration(town: PreparedDataset, change: Callable[[ndarray], ndarray]) -> PreparedDataset:
    """The dataset with another ``camera_from_lidar``."""
    changed = {
        name: replace(traversal, camera_from_lidar=change(np.asarray(traversal.camera_from_lidar)))
        for name, traversal in town.traversals.items()
    }
    return replace(town, traversals=changed)


def clouds_in_view(town: PreparedDataset) -> Descriptors:
    """The skyline histogram of the test drives, whatever the calibration says."""
    method, rows = HeightHistogram(), select(town.frames, TOWN.query)
    found = encoded_in_batches(method, town, [rows.tolist()])
    ids = {frame_id: i for i, frame_id in enumerate(town.frames.frame_id[rows].tolist())}
    return Descriptors(rows={"image": ids, "cloud": ids}, arrays=found, distance="l2", method="skyline histogram")


def examinations(town: PreparedDataset) -> dict[str, Examination]:
    """What the doctor sees of the test drives with each calibration."""
    part = replace(
        town,
        frames=town.frames.take(select(town.frames, TOWN.query)),
        traversals={name: town.traversals[name] for name in TEST_DRIVES},
    )
    return {title: examine(with_calibration(part, change)) for title, change in CALIBRATIONS.items()}


def calibration(town: PreparedDataset, found: dict[str, Examination]) -> Rows:
    """What the skyline histogram scores with a wrong calibration, and what the doctor says."""
    rows: Rows = []
    for title, examination in found.items():
        clouds = clouds_in_view(with_calibration(town, CALIBRATIONS[title]))
        (recall,) = recalls(town.frames, TOWN, IMAGE_TO_CLOUD, {"": clouds}).values()
        said = dict.fromkeys(f"{v.severity} `{v.rule}`" for v in examination.verdicts())
        shares = [percent(recall.recall_at[n - 1], recall.n_counted) for n in (1, 5)]
        rows.append([title, *shares, ", ".join(said) or "nothing"])
    (chance,) = recalls(town.frames, TOWN, IMAGE_TO_CLOUD, {"": "random"}).values()
    return [*rows, ["chance", *(percent(chance.recall_at[n - 1]) for n in (1, 5)), "–"]]


def axes(kitti_09: Frames) -> Rows:
    """Chance where a distance is measured without one of its components."""
    rows: Rows = []
    for title, name in (("east and north", "liploc"), ("east and up", "liploc-as-published")):
        (pairs,) = evaluated(kitti_09, PROTOCOLS[name], IMAGE_TO_CLOUD, {"": "random"}).values()
        n_right = sum(int(pair.ranking.n_positives.sum()) for pair in pairs)
        recall = headline(pairs, PROTOCOLS[name])
        rows.append(
            [title, f"`{name}`", Number(value=n_right, digits=0), *(percent(recall.recall_at[n - 1]) for n in (1, 5))]
        )
    return rows


# --- training places -------------------------------------------------------------------------------

FITTED: dict[str, tuple[str, ...]] = {
    "`train-*`, another district": ("train-day", "train-evening"),
    "one of the two tested drives": ("test-day",),
    "both tested drives": TEST_DRIVES,
}
"""What a linear map from images to skylines is fitted on."""
RIDGE = 100.0
COLUMNS, PIXELS = 32, (24, 32)


def small_views(town: PreparedDataset) -> tuple[Float[ndarray, "n pixels"], Float[ndarray, "n columns"]]:
    """Small grey images of zero mean and unit spread, and the skylines of the clouds, of every frame."""
    method, images, skylines = HeightHistogram(), [], []
    for row in range(len(town.frames)):
        batch = collate([load_sample(town, town.frame(row), ("image", "cloud"))])
        images.append(adaptive_avg_pool2d(method.image_inputs(batch).mean(1), PIXELS).flatten(1).double().numpy())
        skylines.append(adaptive_avg_pool1d(method.cloud_inputs(batch), COLUMNS).double().numpy())
    grey = np.concatenate(images)
    return (grey - grey.mean(1, keepdims=True)) / grey.std(1, keepdims=True), np.concatenate(skylines)


def linear_skyline(
    frames: Frames,
    images: Float[ndarray, "n pixels"],
    skylines: Float[ndarray, "n columns"],
    fitted_on: Sequence[str],
) -> Descriptors:
    """A ridge regression from images to the skylines of clouds: the smallest method that learns."""
    known = np.isin(frames.traversal.astype(str), fitted_on)
    image_mean, skyline_mean = images[known].mean(0), skylines[known].mean(0)
    x, y = images[known] - image_mean, skylines[known] - skyline_mean
    weights = x.T @ np.linalg.solve(x @ x.T + RIDGE * np.eye(len(x)), y)
    found = given(frames, skylines - skyline_mean)
    return replace(found, arrays=found.arrays | {"image": ((images - image_mean) @ weights)[:, None]})


def trained_on(fitted_on: Sequence[str]) -> Protocol:
    """The town's protocol, trained on these drives."""
    return replace(TOWN, split=replace(TOWN.split, train=Selection(traversals=tuple(fitted_on))))


def training(town: PreparedDataset) -> Rows:
    """A linear map that knows the test places, and one that does not."""
    drives_used = {drive for drives in FITTED.values() for drive in drives}
    used = replace(town, frames=town.frames.take(np.isin(town.frames.traversal.astype(str), [*drives_used])))
    views, rows = small_views(used), []
    for title, drives in FITTED.items():
        looks = linear_skyline(used.frames, *views, drives)
        (recall,) = recalls(used.frames, TOWN, IMAGE_TO_CLOUD, {"": looks}).values()
        (leak, *_) = find_leaks(used.frames, trained_on(drives))
        shares = [percent(recall.recall_at[n - 1], recall.n_counted) for n in (1, 5)]
        rows.append([title, *shares, f"{leak.n_within_positive} of {leak.n_test}"])
    return rows


# --- one drive -------------------------------------------------------------------------------------


def synchronous(kitti: Encoded) -> Rows:
    """The town as KITTI would have recorded it, by two of KITTI's protocols."""
    rows: Rows = []
    for direction in (IMAGE_TO_CLOUD, CLOUD_TO_CLOUD):
        found = {
            name: recalls(kitti.frames, PROTOCOLS[name], direction, {**kitti.descriptors, "random": "random"})
            for name in ("kitti-synchronous-10m", "kitti-revisit")
        }
        for method in (*kitti.descriptors, "random"):
            both = [recalled[method] for recalled in found.values()]
            rows.append([method, words(direction), *(percent(r.recall_at[0], r.n_counted) for r in both)])
    return rows


def clock(kitti: Frames) -> Descriptors:
    """A descriptor that knows when, and nothing of where: the seconds since the drive began."""
    return given(kitti, (kitti.timestamp_ns / 1e9)[:, None])


def drifting(kitti: Frames, seed: int = 0, size: int = 8) -> Descriptors:
    """A descriptor that changes with the place over some 60 m, and with the time over some 10 s.

    What changes with time stands for exposure, traffic and weather, which neighbours in time share.
    """
    random = np.random.default_rng(seed)
    waves, phases = random.normal(scale=1 / 60, size=(2, size)), random.uniform(0, 2 * np.pi, size)
    looks = np.cos(kitti.position_m[:, :2] @ waves + phases)
    for name in kitti.traversal_names():
        rows = np.flatnonzero(kitti.traversal == name)
        for _ in range(4):
            beats, starts = random.normal(scale=1 / 10, size=size), random.uniform(0, 2 * np.pi, size)
            looks[rows] += 0.15 * np.cos(np.outer(kitti.timestamp_ns[rows] / 1e9, beats) + starts)
        looks[rows] += random.normal(scale=0.1, size=(len(rows), size))
    return given(kitti, looks)


@dataclass(frozen=True, kw_only=True)
class RealKitti:
    """Real trajectories, and rankings of made-up descriptors that several sections use."""

    frames: Frames

    @cached_property
    def given_by(self) -> dict[str, Descriptors | str]:
        return {"the clock": clock(self.frames), "place and time": drifting(self.frames), "random": "random"}

    @cached_property
    def synchronous(self) -> dict[str, list[PairEvaluation]]:
        return evaluated(self.frames, PROTOCOLS["kitti-synchronous-10m"], IMAGE_TO_CLOUD, self.given_by)

    @cached_property
    def revisit(self) -> dict[str, list[PairEvaluation]]:
        return evaluated(self.frames, PROTOCOLS["kitti-revisit"], IMAGE_TO_CLOUD, self.given_by)


def made_up(kitti: RealKitti) -> Rows:
    """Descriptors that know the time, on real trajectories."""
    found = (("kitti-synchronous-10m", kitti.synchronous), ("kitti-revisit", kitti.revisit))
    return [
        [title, *(percent(headline(pairs[title], PROTOCOLS[name]).recall_at[0]) for name, pairs in found)]
        for title in kitti.given_by
    ]


def own_frame(town: Encoded, kitti_09: Frames) -> Rows:
    """A query that may find itself."""
    within = replace(TOWN, pairs="within", own_frame="keep")
    rows: Rows = []
    for direction in (IMAGE_TO_CLOUD, CLOUD_TO_CLOUD):
        found = [recalls(town.frames, protocol, direction, town.descriptors) for protocol in (within, TOWN)]
        for method in town.descriptors:
            rows.append(
                [
                    f"{method}, town",
                    words(direction),
                    *(percent(r[method].recall_at[0], r[method].n_counted) for r in found),
                ]
            )
    noise = given(kitti_09, np.random.default_rng(0).normal(size=(len(kitti_09), 8)))
    protocols = [replace(PROTOCOLS["liploc"], own_frame=rule) for rule in ("keep", "drop")]
    shares = [percent(recalls(kitti_09, p, IMAGE_TO_CLOUD, {"": noise})[""].recall_at[0]) for p in protocols]
    return [*rows, ["a random number a frame, KITTI 09", words(IMAGE_TO_CLOUD), *shares]]


def opposite(town: Encoded) -> Rows:
    """What becomes right without a limit of the heading."""
    rows: Rows = []
    protocols = (TOWN, replace(TOWN, heading_limit_rad=None))
    for direction in (IMAGE_TO_CLOUD, CLOUD_TO_CLOUD):
        given_by = {**town.descriptors, "random": "random"}
        found = [recalls(town.frames, protocol, direction, given_by) for protocol in protocols]
        for method in given_by:
            shares = [percent(r[method].recall_at[0], r[method].n_counted) for r in found]
            rows.append([method, words(direction), *shares])
    return rows


# --- search ----------------------------------------------------------------------------------------


def truncated(kitti: RealKitti) -> Rows:
    """51 nearest frames fetched, and then filtered by time."""
    protocol = replace(PROTOCOLS["kitti-revisit"], search_depth=51)
    looks = "place and time"
    fetched = evaluated(kitti.frames, protocol, IMAGE_TO_CLOUD, {looks: kitti.given_by[looks]})[looks]
    ways = {"filtered, then ranked": kitti.revisit[looks], "51 fetched, then filtered": fetched}
    rows: Rows = []
    for title, pairs in ways.items():
        found = headline(pairs, protocol)
        rows.append(
            [title, *(percent(s) for s in (found.recall_at[0], found.recall_at[4], found.recall_at_one_percent))]
        )
    return rows


DEPTHS: dict[str, Callable[[int], int]] = {
    "`round(N / 100)`, at least 1 (the suite)": lambda n: one_percent_depth(n, OnePercent()),
    "`floor(N / 100)`": lambda n: n // 100,
    "`ceil(N / 100)`": lambda n: -(-n // 100),
    "`floor(N / 100) + 1`": lambda n: n // 100 + 1,
    "at most 25": lambda n: one_percent_depth(n, OnePercent(cap=25)),
}


def one_percent(runs: Sequence[PairEvaluation], sequence: Sequence[PairEvaluation]) -> Rows:
    """Recall@1% of the same ranks, by five readings of "one percent": on RobotCar's runs, and on KITTI 00."""
    rows: Rows = []
    for title, depth_of in DEPTHS.items():
        cells: list[str | Number] = [title]
        for pairs in (runs, sequence):
            depths = sorted({depth_of(len(pair.database_rows)) for pair in pairs})
            shares = [recall_of(pair, depth_of(len(pair.database_rows))) for pair in pairs]
            cells += ["–".join(map(str, dict.fromkeys((depths[0], depths[-1])))), percent(float(np.mean(shares)))]
        rows.append(cells)
    return rows


def recall_of(pair: PairEvaluation, depth: int) -> float:
    """Recall of one pair at any depth; queries without a positive are left out."""
    ranks = pair.ranking.first_positive_rank
    return recall_at(ranks[ranks > 0], depth)


def unanswerable(runs: Sequence[PairEvaluation]) -> Rows:
    """Queries without a right answer, left out or counted as misses; the oracle finds whatever can be found."""
    ranks = [pair.ranking.first_positive_rank for pair in runs]
    left_out = [float(np.mean(r[r > 0] == 1)) for r in ranks]
    missed = [float(np.mean(r == 1)) for r in ranks]
    answerable = [float(np.mean(r > 0)) for r in ranks]
    return [
        ["a made-up descriptor", percent(float(np.mean(left_out))), percent(float(np.mean(missed)))],
        ["`oracle`", percent(1.0), percent(float(np.mean(answerable)))],
    ]


def averages(kitti: RealKitti) -> Rows:
    """The same ranks, pooled and as a mean over sequences."""
    pairs = [pair for pair in kitti.revisit["place and time"] if pair.recall.n_counted]
    rows: Rows = [
        [pair.pair.query_traversal, Number(value=pair.recall.n_counted, digits=0), percent(pair.recall.recall_at[0])]
        for pair in pairs
    ]
    for title, average in (("all queries pooled", pooled), ("mean over sequences", mean_over_pairs)):
        found = average([pair.recall for pair in pairs])
        rows.append([title, Number(value=found.n_counted, digits=0), percent(found.recall_at[0])])
    return rows


# --- ties ------------------------------------------------------------------------------------------


def ties(town: Encoded) -> Rows:
    """Recall@1 where equal distances count for the query, against it, and as the order of the database has it."""
    n = len(town.frames)
    given_by = {
        "constant: a collapsed encoder": given(town.frames, np.zeros((n, 4))),
        "VXP quick, one bit a number": _one_bit(town.descriptors["VXP quick"]),
        "VXP quick": town.descriptors["VXP quick"],
    }
    rows: Rows = []
    for title, descriptors in given_by.items():
        (found,) = recalls(town.frames, TOWN, IMAGE_TO_CLOUD, {"": descriptors}).values()
        for_it, against = _tied(town.frames, descriptors)
        rows.append([title, *(percent(share, found.n_counted) for share in (for_it, against, found.recall_at[0]))])
    return rows


def _one_bit(descriptors: Descriptors) -> Descriptors:
    arrays = {modality: (array > 0).astype(np.float32) for modality, array in descriptors.arrays.items()}
    return replace(descriptors, arrays=arrays)


def _tied(frames: Frames, descriptors: Descriptors) -> tuple[float, float]:
    """Recall@1 with ties for the query and against it, mean over pairs."""
    best, worst = [], []
    for asked in relations(frames, TOWN, select(frames, TOWN.query), select(frames, TOWN.database)):
        found = descriptors.at("image", frames, asked.query_rows)
        apart = distances(found, descriptors.at("cloud", frames, asked.database_rows), "l2")
        right = np.where(asked.relation.is_positive, apart, np.inf).min(axis=1)
        wrong = np.where(asked.relation.is_positive, np.inf, apart).min(axis=1)
        counted = np.isfinite(right)
        best.append(float(np.mean(right[counted] <= wrong[counted])))
        worst.append(float(np.mean(right[counted] < wrong[counted])))
    return float(np.mean(best)), float(np.mean(worst))


# --- error bars ------------------------------------------------------------------------------------


def bars(town: Encoded) -> Rows:
    """95 % intervals of one row, from single queries and as the suite gives them."""
    rows: Rows = []
    for direction in (IMAGE_TO_CLOUD, CLOUD_TO_CLOUD):
        pairs = evaluated(town.frames, TOWN, direction, {"": town.descriptors["VXP quick"]})[""]
        record = direction_records(pairs, rank_arrays(pairs, town.dataset), TOWN)[direction.label]
        hits = np.concatenate([pair.values["R@1"] for pair in pairs])
        ends = record.intervals["R@1"]
        assert ends is not None
        single = of_single_queries(hits)
        slack = 200 / len(hits)
        rows.append(
            [
                f"VXP quick, {words(direction)}",
                percent(float(np.mean(hits)), len(hits)),
                *(Number(value=100 * end, slack=slack) for end in (*single, *ends)),
            ]
        )
    return rows


def of_single_queries(hits: Float[ndarray, " n"], draws: int = 2000) -> tuple[float, float]:
    """The usual bootstrap: queries are drawn one by one, as if each were an experiment of its own."""
    drawn = np.random.default_rng(0).integers(len(hits), size=(draws, len(hits)))
    low, high = np.quantile(hits[drawn].mean(axis=1), [0.025, 0.975])
    return float(low), float(high)


QUANTILE_OF_20_PERCENT = -0.8416212335729143
"""The value that a normal variable lies below in 20 % of draws."""


def coverage(length_m: float, n_drives: int = 200) -> Number:
    """How often that interval holds the true recall of 80 %, on drives of 300 places whose successes fade over metres.

    Successes are those of a Gaussian process along the road that lies above its 20 % quantile.
    """
    random, spacing_m = np.random.default_rng(0), 5.0
    keep, hits = np.exp(-spacing_m / length_m), np.empty((n_drives, 300))
    state = random.normal(size=n_drives)
    for place in range(300):
        hits[:, place] = state > QUANTILE_OF_20_PERCENT
        state = keep * state + np.sqrt(1 - keep**2) * random.normal(size=n_drives)
    covered = [low <= 0.8 <= high for low, high in map(of_single_queries, hits)]
    return percent(float(np.mean(covered)))


def coverages() -> Rows:
    """The coverage of the usual bootstrap."""
    lengths_m = {"each place by itself": 0.001, "25 m": 25.0, "50 m": 50.0}
    return [[title, "95", coverage(length_m)] for title, length_m in lengths_m.items()]


# --- batches ---------------------------------------------------------------------------------------


def encoded_in_batches(method: Method, dataset: PreparedDataset, batches: Sequence[Sequence[int]]) -> dict:
    """Descriptors in the order of the batches, without the suite's care for the mode of the method."""
    found: dict[str, list[ndarray]] = {"image": [], "cloud": []}
    with torch.inference_mode():
        for rows in batches:
            samples = [load_sample(dataset, dataset.frame(row), ("image", "cloud")) for row in rows]
            for modality, named in encode_batch(method, collate(samples)).items():
                found[modality].append(named["main"].numpy())
    return {modality: np.concatenate(parts) for modality, parts in found.items()}


def batches(town: Encoded) -> tuple[Rows, str]:
    """VXP in training mode, in two orders of the frames; and what the contract says of such a method."""
    dataset, rows = town.dataset, select(town.frames, TOWN.query)
    orders = {"in the order of the drive": rows, "shuffled": np.random.default_rng(0).permutation(rows)}
    found = {"evaluation mode, any batch": town.descriptors["VXP quick"]}
    for title, order in orders.items():
        method = shipped("vxp").train()
        arrays = encoded_in_batches(method, dataset, [order[i : i + 8].tolist() for i in range(0, len(order), 8)])
        ids = {frame_id: i for i, frame_id in enumerate(town.frames.frame_id[order].tolist())}
        read = Descriptors(rows={"image": ids, "cloud": ids}, arrays=arrays, distance="l2", method="vxp")
        found[f"training mode, batches of 8, {title}"] = read
    table: Rows = []
    for title, descriptors in found.items():
        recalled = [recalls(town.frames, TOWN, d, {"": descriptors})[""] for d in (IMAGE_TO_CLOUD, CLOUD_TO_CLOUD)]
        table.append([title, *(percent(r.recall_at[0], r.n_counted) for r in recalled)])
    return table, complaint(dataset)


def complaint(dataset: PreparedDataset) -> str:
    """What ``check-method`` says of a VXP whose cloud branch never leaves training mode."""
    subject = Subject.of("vxp", dataset)
    subject.method.cloud_branch.train()
    try:
        is_alone_in_a_batch(subject)
    except BrokenContractError as error:
        return str(error)
    return ""
