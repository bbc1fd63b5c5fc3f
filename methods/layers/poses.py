"""Rigid transforms of a batch: composition, inverse, rotation vectors, quaternions, and errors between poses."""

import torch
from jaxtyping import Float
from torch import Tensor

Rigid = Float[Tensor, "b 4 4"]
FORWARD_FROM_CAMERA = ((0.0, 0.0, 1.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 1.0, 0.0, 0.0), (0.0, 0.0, 0.0, 1.0))
"""From the camera's axes (right, down, forward) to CMRNet's (forward, right, down)."""
_SMALL = 1e-8


def rigid(rotation: Float[Tensor, "b 3 3"], translation: Float[Tensor, "b 3"]) -> Rigid:
    """Transforms that turn by ``rotation`` and then move by ``translation``."""
    last = rotation.new_tensor([0.0, 0.0, 0.0, 1.0]).expand(len(rotation), 1, 4)
    return torch.cat([torch.cat([rotation, translation[:, :, None]], dim=2), last], dim=1)


def inverse(pose: Rigid) -> Rigid:
    """Inverse transforms, from the transposed rotation."""
    rotation = pose[:, :3, :3].transpose(1, 2)
    return rigid(rotation, -composed(rotation, pose[:, :3, 3:])[:, :, 0])


def composed(a: Float[Tensor, "b i j"], b: Float[Tensor, "b j k"]) -> Float[Tensor, "b i k"]:
    """Products of matrices in full precision: TF32 or autocast would round positions to centimetres."""
    return (a[:, :, :, None] * b[:, None]).sum(2)


def applied(pose: Float[Tensor, "4 4"], points: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3"]:
    """Points under one transform, in full precision."""
    x, y, z = points.unbind(1)
    turned = x[:, None] * pose[:3, 0] + y[:, None] * pose[:3, 1] + z[:, None] * pose[:3, 2]
    return turned + pose[:3, 3]


def skew(v: Float[Tensor, "*b 3"]) -> Float[Tensor, "*b 3 3"]:
    """Matrices that take the cross product with ``v``."""
    x, y, z = v.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def rotation_of_vector(vector: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """Rotation about each vector by its length in radians (Rodrigues)."""
    angle = vector.norm(dim=1).clamp(min=_SMALL)[:, None, None]
    cross = skew(vector)
    square = cross @ cross
    return torch.eye(3).to(vector) + cross * angle.sin() / angle + square * (1 - angle.cos()) / angle**2


def rotation_of_angles(angles: Float[Tensor, "b 3"]) -> Float[Tensor, "b 3 3"]:
    """``Rz Ry Rx`` of angles about x, y and z, radians: the turn about x comes first."""
    about = [torch.zeros_like(angles) for _ in range(3)]
    for axis in range(3):
        about[axis][:, axis] = angles[:, axis]
    x, y, z = (rotation_of_vector(vector) for vector in about)
    return z @ y @ x


def rotation_of_quaternion(quaternion: Float[Tensor, "b 4"]) -> Float[Tensor, "b 3 3"]:
    """Rotation of each unit quaternion (w, x, y, z)."""
    w, vector = quaternion[:, 0, None, None], quaternion[:, 1:]
    cross = skew(vector)
    return torch.eye(3).to(quaternion) + 2 * w * cross + 2 * cross @ cross


def quaternion_of_rotation(rotation: Float[Tensor, "b 3 3"]) -> Float[Tensor, "b 4"]:
    """Unit quaternion (w, x, y, z) of each rotation, with the largest component computed first, which is stable."""
    r = rotation
    diagonal = torch.diagonal(r, dim1=1, dim2=2)
    signs = r.new_tensor([[1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1]])
    squares = (1 + diagonal @ signs.T).clamp(min=0)  # four times the square of each component
    a, b, c = r[:, 2, 1] - r[:, 1, 2], r[:, 0, 2] - r[:, 2, 0], r[:, 1, 0] - r[:, 0, 1]
    d, e, f = r[:, 0, 1] + r[:, 1, 0], r[:, 0, 2] + r[:, 2, 0], r[:, 1, 2] + r[:, 2, 1]
    w, x, y, z = squares.unbind(1)
    products = [[w, a, b, c], [a, x, d, e], [b, d, y, f], [c, e, f, z]]  # row i: component i times all, times four
    table = torch.stack([torch.stack(row, dim=1) for row in products], dim=1)
    found = table[torch.arange(len(r), device=r.device), squares.argmax(1)]
    return found / found.norm(dim=1, keepdim=True)


def rigid_again(pose: Rigid) -> Rigid:
    """Poses whose rotations are orthonormal again after many products."""
    return rigid(rotation_of_quaternion(quaternion_of_rotation(pose[:, :3, :3])), pose[:, :3, 3])


def between(found: Rigid, true: Rigid) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """Distance of two poses in metres, and the angle between them in radians."""
    distance_m = (found[:, :3, 3] - true[:, :3, 3]).norm(dim=1)
    relative = composed(found[:, :3, :3].transpose(1, 2), true[:, :3, :3])
    quaternion = quaternion_of_rotation(relative)
    return distance_m, 2 * torch.atan2(quaternion[:, 1:].norm(dim=1), quaternion[:, 0].abs())
