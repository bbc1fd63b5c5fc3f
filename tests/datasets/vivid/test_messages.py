"""Messages against naive readings of their bytes."""

import io
import struct
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from datasets.errors import CrossplaceError
from datasets.pixels import demosaic
from datasets.samples.vivid import CLOUD, FIX, IMAGE, OUSTER, TYPES, cloud_message, fix_message, header, image_message
from datasets.vivid.messages import (
    CAMERA,
    GPS,
    LIDAR,
    POINT_FIELD_TYPES,
    check_types,
    decoded,
    pixels_of,
    points_of,
    position_of,
    stamp_ns,
)

LETTERS = {1: "b", 2: "B", 3: "h", 4: "H", 5: "i", 6: "I", 7: "f", 8: "d"}
WIDTHS = {1: 1, 2: 1, 3: 2, 4: 2, 5: 4, 6: 4, 7: 4, 8: 8}


def naive_points(message: Any) -> list[tuple[float, ...]]:
    order = ">" if message.is_bigendian else "<"
    data, points = message.data.tobytes(), []
    fields = {field.name: field for field in message.fields}
    for row in range(message.height):
        for column in range(message.width):
            at = row * message.row_step + column * message.point_step
            axes = [(order + LETTERS[fields[axis].datatype], at + fields[axis].offset) for axis in "xyz"]
            points.append(tuple(struct.unpack_from(kind, data, offset)[0] for kind, offset in axes))
    return points


@st.composite
def clouds(draw: st.DrawFn) -> Any:
    """Clouds of any layout: order of fields, float32 or float64, gaps, padding, byte order."""
    names = draw(st.permutations(["x", "y", "z", "intensity", "ring"]))
    kinds = {"intensity": 7, "ring": 2} | {axis: draw(st.sampled_from([7, 8])) for axis in "xyz"}
    field_type, fields, at = TYPES.types["sensor_msgs/msg/PointField"], [], 0
    for name in names:
        at += draw(st.integers(0, 3))
        fields.append(field_type(name=name, offset=at, datatype=kinds[name], count=1))
        at += WIDTHS[kinds[name]]
    step, (height, width) = at + draw(st.integers(0, 9)), draw(st.tuples(st.integers(0, 3), st.integers(1, 4)))
    row = step * width + draw(st.integers(0, step - 1))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    is_bigendian = draw(st.booleans())
    data = bytearray(random.bytes(row * height))
    for i in range(height):
        for j in range(width):
            for field in fields:
                if field.name in "xyz":
                    value = (">" if is_bigendian else "<") + LETTERS[field.datatype]
                    struct.pack_into(value, data, i * row + j * step + field.offset, random.normal() * 50)
    return replace(
        cloud_message(0.0, np.zeros((1, 3))),
        height=height,
        width=width,
        fields=fields,
        is_bigendian=is_bigendian,
        point_step=step,
        row_step=row,
        data=np.frombuffer(bytes(data), dtype=np.uint8),
    )


@given(clouds())
def test_points_are_those_of_a_naive_loop(message: Any) -> None:
    expected = np.array(naive_points(message), dtype=np.float32).reshape(-1, 3)
    np.testing.assert_array_equal(points_of(message), expected)


def test_points_of_the_ouster_layout_survive_the_bag_format() -> None:
    points = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    sent = TYPES.serialize_ros1(cloud_message(1.5, points, rows=4), CLOUD)
    message = decoded(bytes(sent), "sensor_msgs/PointCloud2")
    assert (message.point_step, message.height, message.width) == (48, 4, 3)
    np.testing.assert_array_equal(points_of(message), points)


@pytest.mark.parametrize("height", [1, 4])
@pytest.mark.parametrize("row_step", [0, 12 * 48, 7])
def test_a_step_of_rows_that_says_nothing_is_not_needed(height: int, row_step: int) -> None:
    """Some drivers leave it 0, or write the size of the whole cloud there."""
    points = np.random.default_rng(0).normal(size=(12, 3)).astype(np.float32)
    np.testing.assert_array_equal(points_of(replace(cloud_message(0.0, points, height), row_step=row_step)), points)


def test_rows_that_are_padded_need_their_step() -> None:
    points = np.arange(12, dtype=np.float32).reshape(4, 3)
    whole = cloud_message(0.0, points, rows=2)
    rows = np.pad(whole.data.reshape(2, 96), ((0, 0), (0, 8)))
    padded = replace(whole, row_step=104, data=np.ascontiguousarray(rows).ravel())
    np.testing.assert_array_equal(points_of(padded), points)
    with pytest.raises(CrossplaceError, match="208 bytes are no 2 rows of 2 points with 0 bytes a row"):
        points_of(replace(padded, row_step=0))


def test_field_types_are_those_of_numpy() -> None:
    for number, name in POINT_FIELD_TYPES.items():
        assert np.dtype(name).itemsize == WIDTHS[number] == struct.calcsize("<" + LETTERS[number])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"row_step": 47, "point_step": 40}, "bytes are no 1 rows of 2 points"),
        ({"point_step": 8}, "12 of them up to z"),
        ({"point_step": 0}, "0 a point"),
        ({"point_step": 24}, "24 a point"),
        ({"width": 3}, "3 points"),
        ({"data": np.zeros(95, dtype=np.uint8)}, "95 bytes"),
        ({"fields": []}, "expected fields x, y and z .* found none"),
    ],
)
def test_bytes_that_are_no_such_cloud_are_a_sentence(change: dict[str, Any], sentence: str) -> None:
    message = replace(cloud_message(0.0, np.zeros((2, 3))), **change)
    with pytest.raises(CrossplaceError, match=sentence):
        points_of(message)


@pytest.mark.parametrize(("datatype", "count"), [(6, 1), (7, 2), (99, 1)])
def test_coordinates_that_are_no_floats_are_a_sentence(datatype: int, count: int) -> None:
    message = cloud_message(0.0, np.zeros((2, 3)))
    message.fields[1] = replace(message.fields[1], datatype=datatype, count=count)
    with pytest.raises(CrossplaceError, match="x, y and z of one float32 or float64 each, found x: f4×1"):
        points_of(message)


def test_an_empty_cloud_has_no_points() -> None:
    assert points_of(cloud_message(0.0, np.zeros((0, 3)))).shape == (0, 3)


# --- images --------------------------------------------------------------------------------------

RGB = np.random.default_rng(1).integers(0, 256, (4, 6, 3), dtype=np.uint8)


@pytest.mark.parametrize("padding", [0, 5])
@pytest.mark.parametrize("encoding", ["rgb8", "bgr8", "rgba8", "bgra8"])
def test_colour_images_are_rgb_whatever_their_order(encoding: str, padding: int) -> None:
    order = [encoding.index(letter) for letter in "rgb"]
    raw = np.full((4, 6, len(encoding) - 1), 7, dtype=np.uint8)
    raw[..., order] = RGB
    np.testing.assert_array_equal(pixels_of(image_message(0.0, raw, encoding, padding)), RGB)


def test_grey_images_have_three_equal_channels() -> None:
    np.testing.assert_array_equal(pixels_of(image_message(0.0, RGB[..., :1], "mono8")), RGB[..., [0, 0, 0]])


@pytest.mark.parametrize("pattern", ["rggb", "bggr", "gbrg", "grbg"])
def test_bayer_images_are_demosaiced(pattern: str) -> None:
    found = pixels_of(image_message(0.0, RGB[..., :1], f"bayer_{pattern}8", padding=3))
    np.testing.assert_array_equal(found, demosaic(RGB[..., 0].copy(), pattern))


COMPRESSED_TYPE = TYPES.types["sensor_msgs/msg/CompressedImage"]
SMOOTH = np.stack([*np.mgrid[40:200:4, 60:220:4], np.full((40, 40), 90)], axis=2).astype(np.uint8)
"""A picture that JPEG hardly changes, with three different channels."""


def compressed(pixels: np.ndarray, kind: str, words: str) -> Any:
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, kind, **({"quality": 98, "subsampling": 0} if kind == "jpeg" else {}))
    return COMPRESSED_TYPE(header=header(0.0), format=words, data=np.frombuffer(content.getvalue(), dtype=np.uint8))


@pytest.mark.parametrize("words", ["{}", "rgb8; {} compressed bgr8", "bgr8; {} compressed bgr8"])
@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_compressed_images_are_rgb(kind: str, words: str) -> None:
    found = pixels_of(compressed(SMOOTH, kind, words.format(kind))).astype(int)
    assert np.abs(found - SMOOTH).max() <= (0 if kind == "png" else 6)


def test_compressed_grey_and_bayer_images_are_what_the_raw_ones_are() -> None:
    grey = SMOOTH[..., 0].copy()
    found = pixels_of(compressed(grey, "png", "mono8; png compressed "))
    np.testing.assert_array_equal(found, pixels_of(image_message(0.0, grey[..., None], "mono8")))
    found = pixels_of(compressed(grey, "png", "bayer_gbrg8; png compressed "))
    np.testing.assert_array_equal(found, demosaic(grey, "gbrg"))
    see_through = np.dstack([SMOOTH, np.full((40, 40), 9, dtype=np.uint8)])
    np.testing.assert_array_equal(pixels_of(compressed(see_through, "png", "rgba8; png compressed ")), SMOOTH)


def deep_colour() -> bytes:
    """A PNG of 16 bits a channel and three channels, which Pillow reads but does not write."""
    header_ = struct.pack(">IIBBBBB", 2, 1, 16, 2, 0, 0, 0)
    parts = [(b"IHDR", header_), (b"IDAT", zlib.compress(b"\0" + bytes(range(12)))), (b"IEND", b"")]
    chunks = [struct.pack(">I", len(c)) + k + c + struct.pack(">I", zlib.crc32(k + c)) for k, c in parts]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def test_compressed_images_of_16_bits_are_a_sentence_with_the_cure() -> None:
    deep = compressed(np.full((4, 4), 999, dtype=np.uint16), "png", "mono16; png compressed ")
    colour = replace(deep, data=np.frombuffer(deep_colour(), dtype=np.uint8))
    for message in (deep, colour):
        with pytest.raises(CrossplaceError, match=r"'mono16; .* more than 8 bits a channel; convert the images"):
            pixels_of(message)


@pytest.mark.parametrize("kind", ["jpeg", "png"])
def test_damaged_or_other_compressed_images_are_a_sentence(kind: str) -> None:
    whole = compressed(SMOOTH, kind, kind)
    other = compressed(SMOOTH, "tiff", "tiff")
    for data in (whole.data[:100], whole.data[: len(whole.data) // 2], whole.data[:0], other.data):
        with pytest.raises(CrossplaceError, match="is damaged or neither JPEG nor PNG; convert the images"):
            pixels_of(replace(whole, data=data))


@pytest.mark.parametrize("encoding", ["mono16", "16UC1", "rgb16", "32FC1", ""])
def test_raw_images_of_other_depths_are_a_sentence(encoding: str) -> None:
    with pytest.raises(CrossplaceError, match=f"encoding '{encoding}'; expected one of rgb8.*: convert the images"):
        pixels_of(image_message(0.0, RGB, encoding))


def test_an_unknown_encoding_is_answered_with_the_known_ones() -> None:
    with pytest.raises(CrossplaceError, match=r"encoding 'yuv422'; expected one of rgb8, bgr8.*bayer_rggb8"):
        pixels_of(image_message(0.0, RGB, "yuv422"))


@pytest.mark.parametrize("change", [{"step": 17}, {"height": 5}, {"width": 7}, {"data": np.zeros(3, np.uint8)}])
def test_bytes_that_are_no_such_image_are_a_sentence(change: dict[str, Any]) -> None:
    with pytest.raises(CrossplaceError, match=r"bytes are no \d×\d image with 3 byte\(s\) a pixel"):
        pixels_of(replace(image_message(0.0, RGB), **change))


# --- positions, times, types ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fix", "expected"),
    [
        ((36.3, 127.3, 50.0, 0), (36.3, 127.3, 50.0)),
        ((36.3, 127.3, 50.0, 2), (36.3, 127.3, 50.0)),
        ((36.3, 127.3, 50.0, -1), None),
        ((float("nan"), 127.3, 50.0, 0), None),
        ((36.3, 127.3, float("nan"), 0), None),
        ((90.1, 127.3, 50.0, 0), None),
        ((36.3, -180.5, 50.0, 0), None),
    ],
)
def test_a_position_is_given_if_there_is_a_fix(fix: tuple[float, ...], expected: tuple[float, ...] | None) -> None:
    latitude, longitude, altitude, status = fix
    assert position_of(fix_message(0.0, latitude, longitude, altitude, status=int(status))) == expected


@pytest.mark.parametrize("kind", [FIX, IMAGE, CLOUD])
def test_times_are_exact(kind: str) -> None:
    made = {
        FIX: fix_message(0.0, 1.0, 2.0, 3.0),
        IMAGE: image_message(0.0, RGB),
        CLOUD: cloud_message(0.0, np.zeros((1, 3))),
    }[kind]
    stamp = TYPES.types["builtin_interfaces/msg/Time"](sec=1621837330, nanosec=818392001)
    message = replace(made, header=replace(made.header, stamp=stamp))
    assert stamp_ns(bytes(TYPES.serialize_ros1(message, kind))) == 1621837330_818392001


def test_a_time_with_too_many_nanoseconds_is_none() -> None:
    with pytest.raises(ValueError, match="1000000000 nanoseconds"):
        stamp_ns(struct.pack("<III", 0, 5, 1_000_000_000))


def test_all_that_is_wrong_with_the_topics_is_said_at_once() -> None:
    from datasets.vivid.bags import Place, Topic

    place = Place(0, 0, "none", 0, 0, 0)
    fine = TYPES.generate_msgdef(IMAGE)[1]
    topics = {
        CAMERA: Topic(message_type="sensor_msgs/CameraInfo", definition_md5=fine, places=[place]),
        LIDAR: Topic(message_type="sensor_msgs/PointCloud2", definition_md5="f00d", places=[place]),
        "/imu": Topic(message_type="sensor_msgs/Imu", definition_md5="f00d", places=[place]),
    }
    assert check_types(topics) == [
        f"no topic {GPS} (sensor_msgs/NavSatFix); it has /camera/image_color, /imu, /os1_cloud_node/points",
        f"{CAMERA}: expected messages of type sensor_msgs/Image or sensor_msgs/CompressedImage, "
        "found sensor_msgs/CameraInfo",
        f"{LIDAR}: sensor_msgs/PointCloud2 is defined otherwise than in ROS Noetic (md5 f00d)",
    ]
    topics = {CAMERA: Topic(message_type="sensor_msgs/Image", definition_md5=fine, places=[])}
    assert f"{CAMERA}: no messages" in check_types(topics)
    assert OUSTER.itemsize == 48
