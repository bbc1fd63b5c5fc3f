"""The GPS/IMU unit of a raw drive, with one packet for every frame."""

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float, Int
from numpy import ndarray
from scipy.spatial.transform import Rotation

from datasets.errors import CrossplaceError
from datasets.kitti.georeference import mercator, mercator_scale, utm
from datasets.kitti.layout import RAW_LAYOUT, RAW_SOURCE
from datasets.kitti.texts import BLANK_NS, numbered, numbers, read_stamps, text_of

N_FIELDS = 30
"""Fields of a packet; the first six are latitude, longitude (degrees), altitude (m), roll, pitch, yaw (rad)."""
KARLSRUHE_DEG = ((48.5, 49.5), (8.0, 9.0))
"""Ranges of latitude and longitude in which all drives lie, far from the limits."""


@dataclass(frozen=True, kw_only=True)
class Oxts:
    """Positions and orientations of the unit in ``folder`` (a drive's ``oxts``), by packet number.

    Roll is about x (forward), pitch about y (left), yaw about z (up), counter-clockwise from east:
    ``world_from_imu = Rz(yaw) Ry(pitch) Rx(roll)``, as published (development kit of the raw data).
    """

    folder: Path

    @cached_property
    def packets(self) -> dict[int, Path]:
        """The files of the packets, by packet number."""
        return numbered(self.folder / "data", ".txt")

    @cached_property
    def fixes(self) -> Float[ndarray, "n 6"]:
        """The first six fields of all packets. The row is the packet number; rows without a packet are nan."""
        if 0 not in self.packets:
            raise CrossplaceError(
                f"{self.folder / 'data'}: no packet 0000000000.txt, which gives the map its scale; expected "
                f"{RAW_LAYOUT}; from {RAW_SOURCE}"
            )
        fixes = np.full((max(self.packets) + 1, 6), np.nan)
        for number, path in self.packets.items():
            fixes[number] = _fix(path)
        return fixes

    @property
    def mercator_scale(self) -> float:
        """The scale at the latitude of the drive's first packet, as published, even if a sequence begins later."""
        return mercator_scale(self.fixes[0, 0])

    def start_ns(self, packet: int) -> int:
        """The local time at which a packet was taken, in nanoseconds since 1970."""
        path = self.folder / "timestamps.txt"
        stamps = read_stamps(path, f"{RAW_LAYOUT}; from {RAW_SOURCE}")
        if packet >= len(stamps) or stamps[packet] == BLANK_NS:
            raise CrossplaceError(f"{path}: no time on line {packet + 1}, where the sequence begins; fetch it again")
        return int(stamps[packet])

    def mercator_m(self, packets: Int[ndarray, " n"]) -> Float[ndarray, "n 2"]:
        """East and north on the drive's own Mercator map; nan where there is no packet."""
        fixes = self._at(packets)
        return mercator(fixes[:, 0], fixes[:, 1], self.mercator_scale)

    def mercator_from_imu(self, packets: Int[ndarray, " n"]) -> Float[ndarray, "n 4 4"]:
        """Poses of the unit on the drive's own Mercator map, with the altitude as up."""
        fixes = self._at(packets)
        return _poses(np.c_[self.mercator_m(packets), fixes[:, 2]], fixes[:, 3:])

    def utm_from_imu(self, packets: Int[ndarray, " n"]) -> Float[ndarray, "n 4 4"]:
        """Poses of the unit in UTM zone 32 north, with the altitude as up; headings are those on the grid."""
        fixes = self._at(packets)
        east_north, convergence = utm(fixes[:, 0], fixes[:, 1])
        return _poses(np.c_[east_north, fixes[:, 2]], fixes[:, 3:] + convergence[:, None] * [0, 0, 1])

    def digest(self) -> str:
        """Hash over all packets."""
        content = hashlib.sha256()
        for number, path in self.packets.items():
            content.update(b"%d\n%s\n" % (number, path.read_bytes()))
        return content.hexdigest()

    def _at(self, packets: Int[ndarray, " n"]) -> Float[ndarray, "n 6"]:
        known = packets < len(self.fixes)
        return np.where(known[:, None], self.fixes[np.where(known, packets, 0)], np.nan)


def _fix(path: Path) -> Float[ndarray, "6"]:
    fix = numbers(text_of(path, RAW_LAYOUT), N_FIELDS, f"{path}")[:6]
    for name, value, (low, high) in zip(("latitude", "longitude"), fix[:2], KARLSRUHE_DEG, strict=True):
        if not low < value < high:
            raise CrossplaceError(f"{path}: {name} {value:g}° is not in or around Karlsruhe; fetch the file again")
    if np.abs(fix[3:]).max() > 2 * np.pi:
        raise CrossplaceError(f"{path}: roll, pitch, yaw must be radians, found {fix[3:].tolist()}; fetch it again")
    return fix


def _poses(positions: Float[ndarray, "n 3"], roll_pitch_yaw: Float[ndarray, "n 3"]) -> Float[ndarray, "n 4 4"]:
    poses = np.tile(np.eye(4), (len(positions), 1, 1))
    poses[:, :3, :3] = Rotation.from_euler("xyz", roll_pitch_yaw).as_matrix()  # lower case means fixed axes
    poses[:, :3, 3] = positions
    return poses
