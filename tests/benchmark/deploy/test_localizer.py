"""A map that is asked and grows: against loops, by hand, from many threads, and with everything that can be wrong."""

import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
import torch
from localizers import COVARIANCE, DRIVE, half_at, method_called

from benchmark.deploy.answers import Place, Prior
from benchmark.deploy.localizer import Localizer
from benchmark.deploy.observation import observation
from benchmark.evaluation.distances import distances
from benchmark.frames.preparing import find_protocol
from datasets.base import Modality
from datasets.errors import CrossplaceError
from datasets.places import same_place
from datasets.prepared import PreparedDataset
from methods.base import Method
from methods.batch import collate, load_sample

Described = dict[str, np.ndarray]
MORNING, EVENING = range(12), range(12, 24)


def described(method: Method, dataset: PreparedDataset, row: int, modality: Modality) -> Described:
    """Descriptors of one frame, without any code of the map."""
    batch = collate([load_sample(dataset, dataset.frame(row), ("image", "cloud"))])
    with torch.inference_mode():
        if modality == "image":
            found = method.encode_images(method.image_inputs(batch))
        else:
            found = method.encode_clouds(method.cloud_inputs(batch))
    return {name: tensor[0].double().numpy() for name, tensor in found.items()}


def apart(a: np.ndarray, b: np.ndarray, kind: str) -> float:
    """The least distance between the views of two frames, one view after the other."""
    measures = {"l2": lambda x, y: math.dist(x, y), "dot": lambda x, y: -sum(p * q for p, q in zip(x, y, strict=True))}
    return min(measures[kind](x.tolist(), y.tolist()) for x in a for y in b)


def order_by_hand(method: Method, asked: Described, known: list[Described]) -> tuple[list[int], list[float]]:
    """Rows of the map, best first, and their distances by the main descriptor."""
    kinds = {spec.name: spec.distance for spec in method.descriptors}

    def by(name: str) -> list[float]:
        return [apart(asked[name], one[name], kinds[name]) for one in known]

    main = by(method.descriptors[0].name)
    order = sorted(range(len(known)), key=lambda row: (main[row], row))
    if method.fusion is not None:
        second = by(method.fusion.descriptor)
        head = order[: method.fusion.top]
        places = {row: place for place, row in enumerate(sorted(head, key=lambda row: (second[row], head.index(row))))}
        head = sorted(head, key=lambda row: (head.index(row) + places[row], order.index(row)))
        order = head + order[method.fusion.top :]
    return order, [main[row] for row in order]


def image_of(dataset: PreparedDataset, row: int) -> np.ndarray:
    return dataset.load_image(dataset.frame(row))


def cloud_of(dataset: PreparedDataset, row: int) -> np.ndarray:
    return dataset.load_cloud(dataset.frame(row))


@pytest.mark.parametrize("name", ["height_histogram", "rangebev", "liploc", "vxp"])
@pytest.mark.parametrize("asks", ["image", "cloud"])
def test_answers_are_those_of_loops(name: str, asks: Modality, small_world: PreparedDataset) -> None:
    """One view and several descriptors, by distance and by two ranks together."""
    method = method_called(name)
    localizer = Localizer.build(method, small_world, ["morning"])
    known = [described(method, small_world, row, "cloud") for row in MORNING]
    for row in (12, 17, 23):
        frames = small_world.frames
        given = {"image": image_of, "cloud": cloud_of}[asks](small_world, row)
        answers = localizer.query(**{asks: given}, top=12)
        order, expected = order_by_hand(method, described(method, small_world, row, asks), known)
        assert [answer.name for answer in answers] == frames.frame_id[order].tolist()
        assert [answer.distance for answer in answers] == pytest.approx(expected, rel=1e-5, abs=1e-6)
        assert answers[0].position_m == tuple(frames.position_m[order[0]].tolist())
        assert (answers[0].yaw_rad, answers[0].world) == (frames.yaw_rad[order[0]], "small")
        assert answers[0].probability is None
        assert localizer.query(**{asks: given}, top=3) == answers[:3]


def test_equal_places_keep_the_order_of_the_map(
    by_hand: Callable[..., Localizer], small_world: PreparedDataset
) -> None:
    localizer = by_hand([5, 1, 1, 1], [0, 1, 2, 3])
    localizer.drive = small_world.traversals["morning"]
    answers = localizer.query(cloud=cloud_of(small_world, 0), top=2)
    assert [answer.name for answer in answers] == ["place-1", "place-2"]


def test_an_empty_map_has_no_answers(histogram: Method, small_world: PreparedDataset) -> None:
    localizer = Localizer(histogram, small_world.traversals["morning"])
    assert len(localizer) == 0
    assert localizer.query(image=image_of(small_world, 0)) == []


def test_a_prior_leaves_out_places_that_are_far_away(morning: Localizer, small_world: PreparedDataset) -> None:
    image = image_of(small_world, 12)
    everywhere = morning.query(image=image, top=12)
    near = morning.query(image=image, top=12, prior=Prior(position_m=(12.0, 0.0), radius_m=12.0, world="small"))
    assert {answer.name for answer in near} == {"morning-0", "morning-1", "morning-2"}  # 0, 12 and 24 m: inclusive
    assert near == [answer for answer in everywhere if answer in near]
    assert morning.query(image=image, prior=Prior(position_m=(12.0, 0.0), radius_m=12.0, world="other")) == []


# --- adding --------------------------------------------------------------------------------------


def pose_of(dataset: PreparedDataset, row: int) -> np.ndarray:
    pose = np.eye(4)
    yaw = dataset.frames.yaw_rad[row]
    pose[:2, :2] = [[np.cos(yaw), -np.sin(yaw)], [np.sin(yaw), np.cos(yaw)]]
    pose[:3, 3] = dataset.frames.position_m[row]
    return pose


def grown(method: Method, dataset: PreparedDataset, rows: range) -> Localizer:
    localizer = Localizer(method, dataset.traversals["morning"])
    for row in rows:
        frame = dataset.frame(row)
        localizer.add(
            pose_of(dataset, row), frame.timestamp_ns, cloud=cloud_of(dataset, row), name=frame.frame_id, world="small"
        )
    return localizer


def test_a_map_that_grew_while_driving_is_the_map_of_the_drive(
    morning: Localizer, histogram: Method, small_world: PreparedDataset
) -> None:
    live = grown(histogram, small_world, MORNING)
    for row in EVENING:
        a, b = (loc.query(image=image_of(small_world, row), top=12) for loc in (morning, live))
        assert [place.name for place in a] == [place.name for place in b]
        assert [place.yaw_rad for place in a] == pytest.approx([place.yaw_rad for place in b])
        assert [place.position_m for place in a] == [place.position_m for place in b]
    turned = live.query(image=image_of(small_world, 22), top=12)
    for place in turned:
        row = small_world.frames.frame_id.tolist().index(place.name)
        assert place.world_from_lidar == pytest.approx(pose_of(small_world, row))
    assert live.places.frames.quaternion_wxyz == pytest.approx(morning.places.frames.quaternion_wxyz)


def test_a_place_without_a_name_is_called_by_drive_and_time(histogram: Method, small_world: PreparedDataset) -> None:
    localizer = Localizer(histogram, small_world.traversals["morning"])
    assert localizer.add(np.eye(4), 7, cloud=cloud_of(small_world, 0)) == "morning-7"
    with pytest.raises(CrossplaceError, match="'morning-7' is in this map already; give the new place another name"):
        localizer.add(np.eye(4), 7, cloud=cloud_of(small_world, 1))
    assert len(localizer) == 1
    assert localizer.add(np.eye(4), 7, cloud=cloud_of(small_world, 1), name="another name") == "another name"
    assert len(localizer) == 2


def test_what_cannot_be_added_or_asked_is_said(morning: Localizer, small_world: PreparedDataset) -> None:
    image, cloud = image_of(small_world, 0), cloud_of(small_world, 0)
    with pytest.raises(CrossplaceError, match="one image or one cloud; give exactly one of them"):
        morning.query()
    with pytest.raises(CrossplaceError, match="one image or one cloud; give exactly one of them"):
        morning.query(image=image, cloud=cloud)
    for given in ({"image": image}, {"image": image, "cloud": cloud}, {}):
        with pytest.raises(CrossplaceError, match="described by one cloud; give that and nothing else"):
            morning.add(np.eye(4), 0, **given)
    with pytest.raises(CrossplaceError, match="no rigid 4×4 transform; give world_from_lidar"):
        morning.add(np.diag([2.0, 1, 1, 1]), 0, cloud=cloud)
    assert len(morning) == 12
    morning.add(np.eye(4), 99, cloud=cloud)
    assert len(morning) == 13


def test_an_image_of_another_size_is_refused_and_taken_with_its_intrinsics(
    morning: Localizer, small_world: PreparedDataset
) -> None:
    larger = np.repeat(np.repeat(image_of(small_world, 12), 2, axis=0), 2, axis=1)
    with pytest.raises(CrossplaceError, match=r"64×48 pixels, and the intrinsics are for 32×24.*intrinsics.resized"):
        morning.query(image=larger)
    assert morning.drive.intrinsics is not None
    morning.drive = replace(morning.drive, intrinsics=morning.drive.intrinsics.resized(64, 48))
    assert len(morning.query(image=larger)) == 5


def test_points_that_are_not_finite_are_refused_and_no_returns_left_out(
    morning: Localizer, small_world: PreparedDataset
) -> None:
    cloud = cloud_of(small_world, 12)
    expected = morning.query(cloud=cloud)
    with_intensity = np.column_stack([cloud, np.ones(len(cloud), dtype=np.float32)])
    without_return = np.concatenate([with_intensity, np.zeros((3, 4), dtype=np.float32)])
    assert morning.query(cloud=without_return) == expected
    broken = np.concatenate([cloud, np.full((2, 3), np.nan, dtype=np.float32)])
    with pytest.raises(CrossplaceError, match="2 of 502 points are not finite; leave them out, they are no returns"):
        morning.query(cloud=broken)
    assert morning.query(cloud=broken[np.isfinite(broken).all(axis=1)]) == expected


def test_arrays_of_another_shape_or_type_are_refused(morning: Localizer, small_world: PreparedDataset) -> None:
    image, cloud = image_of(small_world, 12), cloud_of(small_world, 12)
    for wrong in (image / 255.0, image.transpose(2, 0, 1), image[..., 0]):
        with pytest.raises(CrossplaceError, match=r"expected \(height, width, 3\) of uint8, RGB from 0 to 255"):
            observation(morning.drive, wrong)
    for wrong in (cloud.T, cloud[:, :2], cloud.ravel()):
        with pytest.raises(CrossplaceError, match=r"expected \(points, 3 or more columns\), x, y, z first"):
            observation(morning.drive, cloud=wrong)


# --- calibration ---------------------------------------------------------------------------------


def pooled(pairs: list[tuple[float, bool]]) -> dict[float, float]:
    """Shares of right answers that never rise with the distance: neighbours are pooled as long as one does."""
    blocks: list[list[float]] = []
    for distance in sorted({distance for distance, _ in pairs}):
        rights = [right for other, right in pairs if other == distance]
        blocks.append([sum(rights), len(rights), distance, distance])
        while len(blocks) > 1 and blocks[-2][0] / blocks[-2][1] < blocks[-1][0] / blocks[-1][1]:
            right, n, _, last = blocks.pop()
            blocks[-1][:2] = [blocks[-1][0] + right, blocks[-1][1] + n]
            blocks[-1][3] = last
    return {d: b[0] / b[1] for b in blocks for d, _ in pairs if b[2] <= d <= b[3]}


@pytest.mark.parametrize("name", ["height_histogram", "rangebev"])
def test_probabilities_are_pooled_shares_of_another_drive(name: str, small_world: PreparedDataset) -> None:
    localizer = Localizer.build(method_called(name), small_world, ["morning"])
    localizer.calibrate(small_world, ["evening"])
    assert set(localizer.calibrations) == {"image", "cloud"}
    frames, (rule, _) = small_world.frames, find_protocol(None, small_world)
    morning = frames.take(np.array(MORNING))
    bare = Localizer.build(localizer.method, small_world, ["morning"])
    pairs = []
    for row in EVENING:
        (answer,) = bare.query(cloud=cloud_of(small_world, row), top=1)
        found = morning.take(morning.frame_id == answer.name)
        right = same_place(frames.take(np.array([row])), found, rule.radius_m, rule.heading_limit_rad)
        pairs.append((answer.distance, bool(right.item())))
    assert any(right for _, right in pairs)
    shares = pooled(pairs)
    for row in EVENING:
        (answer,) = localizer.query(cloud=cloud_of(small_world, row), top=1)
        assert answer.probability == pytest.approx(np.clip(shares[answer.distance], 1 / 14, 13 / 14))


def test_nothing_can_be_calibrated_with_the_drive_of_the_map_itself(
    morning: Localizer, small_world: PreparedDataset
) -> None:
    with pytest.raises(
        CrossplaceError, match="drive 'morning' itself, which finds itself too easily; name another drive"
    ):
        morning.calibrate(small_world, ["evening", "morning"])
    with pytest.raises(CrossplaceError, match=r"unknown traversal 'evenin'\. Did you mean evening\?"):
        morning.calibrate(small_world, ["evenin"])
    with pytest.raises(CrossplaceError, match="no frame of no traversal has its cloud; name one with such frames"):
        Localizer.build(morning.method, small_world, [])
    morning.calibrate(small_world, ["evening"])
    assert morning.calibrations["cloud"].drives == ("evening",)


def test_a_map_without_the_places_of_the_drive_cannot_be_calibrated(
    histogram: Method, small_world: PreparedDataset
) -> None:
    far = Localizer(histogram, small_world.traversals["morning"])
    far.add(np.eye(4), 0, cloud=cloud_of(small_world, 0), world="another world")
    with pytest.raises(CrossplaceError, match="none of 12 queries of evening found its place in this map"):
        far.calibrate(small_world, ["evening"])
    assert far.calibrations == {}


# --- loop closures -------------------------------------------------------------------------------


def closures(localizer: Localizer, **options: object) -> list[tuple[str, str, float]]:
    found = localizer.loop_closures(**options)
    assert all(closure.covariance == COVARIANCE for closure in found)
    return [(closure.name, closure.earlier.name, round(closure.earlier.probability or 0, 6)) for closure in found]


def test_loop_closures_are_the_best_earlier_places_beyond_the_gap(by_hand: Callable[..., Localizer]) -> None:
    localizer = by_hand([0.0, 5.0, 0.1, 5.4, 0.0], [0, 10, 40, 41, 70])
    # Place 2 is 40 s after place 0 at a distance of 0.1, place 3 is 31 s after place 1 at 0.4; both ends of a gap of
    # 30 s do not count, so place 4 finds place 0 at 0 and not place 2, which is as near as 0.1 and just 30 s before.
    assert closures(localizer) == [("place-2", "place-0", 0.95), ("place-4", "place-0", 0.999)]
    assert closures(localizer, min_probability=0.79) == [
        ("place-2", "place-0", 0.95),
        ("place-3", "place-1", 0.8),
        ("place-4", "place-0", 0.999),
    ]
    assert closures(localizer, min_gap_s=31.0) == [("place-2", "place-0", 0.95), ("place-4", "place-0", 0.999)]
    assert closures(localizer, min_gap_s=40.0, min_probability=0.0) == [
        ("place-3", "place-0", 0.001),
        ("place-4", "place-0", 0.999),
    ]
    assert closures(localizer, of=["place-2"]) == [("place-2", "place-0", 0.95)]
    assert closures(localizer, of=[]) == []
    assert closures(by_hand([], [])) == []


def test_the_gap_itself_is_no_closure(by_hand: Callable[..., Localizer]) -> None:
    assert closures(by_hand([0, 0], [0, 30])) == []
    assert closures(by_hand([0, 0], [0, 30.001])) == [("place-1", "place-0", 0.999)]
    assert closures(by_hand([0, 0], [30.001, 0])) == [("place-0", "place-1", 0.999)]  # order of time, not of rows


def test_closures_need_a_calibration_and_names_of_the_map(by_hand: Callable[..., Localizer]) -> None:
    localizer = by_hand([0, 0], [0, 60])
    with pytest.raises(CrossplaceError, match="'place-7' is not in this map; ask for a name that add has returned"):
        localizer.loop_closures(of=["place-1", "place-7"])
    localizer.calibrations.clear()
    with pytest.raises(CrossplaceError, match=r"not calibrated for queries by cloud, .* calibrations of another map"):
        localizer.loop_closures()
    other = by_hand([], [])
    localizer = Localizer(localizer.method, DRIVE, places=localizer.places, calibrations=other.calibrations)
    assert closures(localizer) == [("place-1", "place-0", 0.999)]


# --- threads -------------------------------------------------------------------------------------


def test_many_threads_may_ask_while_others_add(histogram: Method, small_world: PreparedDataset) -> None:
    """Every answer is that of some moment: a snapshot is whole, and what it holds never changes."""
    localizer = Localizer(histogram, small_world.traversals["morning"], calibrations={"cloud": half_at(1.0)})
    n_rounds, stop = 6, threading.Event()

    def adding(row: int) -> None:
        for number in range(n_rounds):
            name = f"{row}-{number}"
            localizer.add(pose_of(small_world, row), number, cloud=cloud_of(small_world, row), name=name, world="small")

    def asking(row: int) -> list[tuple[int, list[Place]]]:
        found = []
        while not stop.is_set():
            before = localizer.places
            names = before.frames.frame_id.tolist()
            answers = localizer.query(cloud=cloud_of(small_world, row), top=1000)
            localizer.loop_closures(of=names[-1:])
            assert before.frames.frame_id.tolist() == names
            assert {*names} <= {answer.name for answer in answers}
            found.append((len(names), answers))
        return found

    with ThreadPoolExecutor(6) as pool:
        askers = [pool.submit(asking, row) for row in (12, 17)]
        adders = [pool.submit(adding, row) for row in (0, 3, 5, 9)]
        for adder in adders:
            adder.result()
        stop.set()
        seen = [answer for asker in askers for answer in asker.result()]
    assert len(localizer) == 4 * n_rounds
    frames, main = localizer.places.frames, localizer.places.descriptors["main"]
    for name, position, descriptor in zip(frames.frame_id, frames.position_m, main, strict=True):
        row = int(name.split("-")[0])
        assert position.tolist() == small_world.frames.position_m[row].tolist()
        assert (descriptor == described(histogram, small_world, row, "cloud")["main"]).all()
    truth = {answer.name: answer.distance for answer in localizer.query(cloud=cloud_of(small_world, 12), top=1000)}
    assert any(len(answers) > n for n, answers in seen) or seen
    for _, answers in askers[0].result():
        assert all(truth[answer.name] == answer.distance for answer in answers)


def test_the_search_is_that_of_the_evaluator(morning: Localizer, small_world: PreparedDataset) -> None:
    asked = described(morning.method, small_world, 12, "image")["main"][None]
    expected = distances(asked, morning.places.descriptors["main"], "l2")[0]
    found = {answer.name: answer.distance for answer in morning.query(image=image_of(small_world, 12), top=12)}
    assert [found[name] for name in morning.places.frames.frame_id] == expected.tolist()
