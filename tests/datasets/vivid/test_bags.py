"""Bags: every message is found where it lies, and an index that passes over some of them is refused."""

import struct
import sys
from pathlib import Path

import numpy as np
import pytest
from rosbags.rosbag1 import Reader, Writer

from datasets.errors import CrossplaceError
from datasets.samples.vivid import CLOUD, FIX, IMAGE, TYPES, cloud_message, fix_message, image_message, write_bag
from datasets.vivid.bags import index_sha256, read_message, topics_of
from datasets.vivid.messages import CAMERA, GPS, LIDAR, STAMP_BYTES, decoded, stamp_ns
from datasets.vivid.survey import inspect, survey

Compression = Writer.CompressionFormat | None
COMPRESSIONS = [None, Writer.CompressionFormat.LZ4, Writer.CompressionFormat.BZ2]
PIXELS = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)


def small_bag(path: Path, compression: Compression = None, chunk_bytes: int = 1000) -> Path:
    """Twelve messages a topic; recorded in another order than measured."""
    messages = []
    for i in range(12):
        measured = 50.0 + i / 10
        cloud = cloud_message(measured, np.full((5, 3), i + 1.0))
        messages += [
            (GPS, FIX, 100 + i / 10, fix_message(measured, 36.0 + i / 100, 127.0, 5.0, status=-1 if i == 3 else 0)),
            (LIDAR, CLOUD, 100.05 + i / 10, cloud),
            (CAMERA, IMAGE, 100.07 + i / 10, image_message(measured + 0.01, PIXELS + i)),
        ]
    write_bag(path, messages, compression, chunk_bytes)
    return path


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_messages_are_those_that_the_library_reads(tmp_path: Path, compression: Compression) -> None:
    path = small_bag(tmp_path / "a.bag", compression)
    topics = topics_of(path)
    assert {name: topic.message_type for name, topic in topics.items()} == {
        GPS: "sensor_msgs/NavSatFix",
        LIDAR: "sensor_msgs/PointCloud2",
        CAMERA: "sensor_msgs/Image",
    }
    with Reader(path) as reader, path.open("rb") as file:
        assert len(reader.chunk_infos) > 3
        for name, topic in topics.items():
            own = [connection for connection in reader.connections if connection.topic == name]
            expected = [(time, bytes(content)) for _, time, content in reader.messages(own)]
            found = [(place.recorded_ns, read_message(path, file, place)) for place in topic.places]
            assert found == expected
            assert read_message(path, file, topic.places[4], STAMP_BYTES) == expected[4][1][:STAMP_BYTES]


@pytest.mark.parametrize("compression", COMPRESSIONS)
def test_a_survey_has_every_time_and_every_fix(tmp_path: Path, compression: Compression) -> None:
    path = small_bag(tmp_path / "a.bag", compression)
    found = survey(path)
    assert [time for time, _ in found.clouds] == [50_000_000_000 + i * 100_000_000 for i in range(12)]
    assert [time for time, _ in found.images] == [50_010_000_000 + i * 100_000_000 for i in range(12)]
    assert found.without_fix == [50_300_000_000]
    assert [fix[1] for fix in found.fixes] == [36.0 + i / 100 for i in range(12) if i != 3]
    with path.open("rb") as file:
        _, place = found.images[7]
        image = decoded(read_message(path, file, place), "sensor_msgs/Image")
        assert (image.data == PIXELS.ravel() + 7).all()


def test_two_connections_of_a_topic_are_one(tmp_path: Path) -> None:
    path, writer = tmp_path / "two.bag", Writer(tmp_path / "two.bag")
    writer.open()
    both = [writer.add_connection(GPS, FIX, typestore=TYPES, callerid=f"/node{i}") for i in range(2)]
    for i in range(6):
        writer.write(both[i % 2], i * 10**9, TYPES.serialize_ros1(fix_message(float(i), 36.0, 127.0, float(i)), FIX))
    writer.close()
    (topic,) = topics_of(path).values()
    with path.open("rb") as file:
        assert [stamp_ns(read_message(path, file, place)) for place in topic.places] == [i * 10**9 for i in range(6)]


def test_a_bag_at_a_glance(tmp_path: Path) -> None:
    path = small_bag(tmp_path / "a.bag")
    found = inspect(path, dict.fromkeys((LIDAR, CAMERA, GPS), str))
    assert found.messages == {LIDAR: 12, GPS: 12, CAMERA: 12}
    assert found.interval_ns[CAMERA] == (50_010_000_000, 51_110_000_000)
    assert {topic: span[0] - found.interval_ns[topic][0] for topic, span in found.recorded_ns.items()} == {
        LIDAR: 50_050_000_000,
        GPS: 50_000_000_000,
        CAMERA: 50_060_000_000,
    }


def test_a_bag_that_was_not_closed_is_a_sentence_with_the_remedy(tmp_path: Path) -> None:
    path = small_bag(tmp_path / "a.bag")
    content = bytearray(path.read_bytes())
    at = content.index(b"index_pos=") + len(b"index_pos=")
    content[at : at + 8] = bytes(8)
    path.write_bytes(content)
    with pytest.raises(CrossplaceError, match=r"a\.bag: not readable .* not indexed.*rosbag reindex"):
        topics_of(path)


def test_an_index_that_leaves_out_the_last_chunk_is_refused(tmp_path: Path) -> None:
    path = small_bag(tmp_path / "a.bag")
    content = bytearray(path.read_bytes())
    at = content.index(b"chunk_count=") + len(b"chunk_count=")
    (count,) = struct.unpack_from("<I", content, at)
    struct.pack_into("<I", content, at, count - 1)
    path.write_bytes(content)
    with pytest.raises(CrossplaceError, match="the index knows the file up to byte"):
        topics_of(path)


def test_fingerprints_tell_the_indexes_apart(tmp_path: Path) -> None:
    a, same, other = (small_bag(tmp_path / f"{i}.bag", chunk_bytes=n) for i, n in enumerate((1000, 1000, 2000)))
    assert index_sha256(a) == index_sha256(same) != index_sha256(other)


def test_without_the_extra_the_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = small_bag(tmp_path / "a.bag")
    monkeypatch.setitem(sys.modules, "rosbags.rosbag1", None)
    with pytest.raises(CrossplaceError, match=r"extra 'vivid'"):
        topics_of(path)
