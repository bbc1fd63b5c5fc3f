"""Training of CMRNet: rough poses are drawn anew for each frame, and the network corrects them."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor, nn

from datasets.base import Frames
from datasets.randomness import generator
from methods.base import Sampler, StageOutput
from methods.batch import Batch, Sample
from methods.cmrnet.config import CmrnetConfig, DrawnRange
from methods.cmrnet.losses import displacement_loss, matching_loss, pose_loss
from methods.cmrnet.network import CmrnetNetwork, regressed
from methods.cmrnet.roll import rolled
from methods.cmrnet.view import Cells, cells, depth_input, drawn, pictures
from methods.layers.poses import (
    FORWARD_FROM_CAMERA,
    Rigid,
    composed,
    inverse,
    quaternion_of_rotation,
    rigid,
    rotation_of_angles,
)
from methods.learning.augment import colour_jitter, mirror
from methods.learning.samplers import ShuffleSampler
from methods.registration import PoseStage, RegistrationBatch, require_truth

MOST_CELLS = 8.0
"""Displacements beyond so many cells are not learnt: such points are nearly always outside the image."""


def drawn_starts(uniform: Float[Tensor, "b 6"], ranges: Sequence[DrawnRange]) -> Rigid:
    """``true_from_rough`` of each frame, from numbers within [0, 1): the rough camera in the true camera's frame."""
    low = uniform.new_tensor([[*r.low_m, *[-math.radians(r.angle_deg)] * 3] for r in ranges])
    high = uniform.new_tensor([[*r.high_m, *[math.radians(r.angle_deg)] * 3] for r in ranges])
    drawn_values = low + (high - low) * uniform
    turned = rigid(rotation_of_angles(drawn_values[:, 3:]), drawn_values[:, :3])
    forward_from_camera = uniform.new_tensor(FORWARD_FROM_CAMERA).expand_as(turned)
    return composed(composed(inverse(forward_from_camera), turned), forward_from_camera)


class ChosenSampler(ShuffleSampler):
    """Some frames, always the same, once an epoch in random order."""

    def __init__(self, n_frames: int, most: int, batch_size: int) -> None:
        chosen = generator(0, "chosen frames").permutation(n_frames)
        self.chosen = chosen[:most] if most else chosen
        super().__init__(len(self.chosen), batch_size)

    def batches(self, rng: np.random.Generator) -> list[list[int]]:
        """Random order, cut into batches."""
        return [self.chosen[batch].tolist() for batch in super().batches(rng)]


class CorrectionStage(PoseStage):
    """Train one network for starts of some ranges. Each frame of a batch draws one of the ranges."""

    def __init__(self, network: CmrnetNetwork, config: CmrnetConfig, ranges: Sequence[DrawnRange], name: str) -> None:
        super().__init__()
        self.name, self.recipe, self.config, self.ranges = name, config.recipe, config, tuple(ranges)
        self.network = network
        self.ignores = ("iterations", "solves", "inflation", "regressed_m", "regressed_deg")

    def trainable(self) -> list[nn.Module]:
        """The network."""
        return [self.network]

    def sampler(self, frames: Frames, *, training: bool) -> Sampler:
        """Every chosen frame once an epoch."""
        return ChosenSampler(len(frames), self.config.most_frames[0 if training else 1], self.recipe.batch_size)

    def augment(self, sample: Sample, rng: np.random.Generator) -> Sample:
        """Mirroring, a turn about the optical axis, and other light."""
        changes = self.config.changes
        if rng.random() < changes.mirror_probability:
            sample = mirror(sample)
        if changes.roll_deg:
            sample = rolled(sample, float(rng.uniform(-changes.roll_deg, changes.roll_deg)))
        assert sample.image is not None
        light = changes.relighting
        image = light(sample.image, rng) if light else colour_jitter(sample.image, rng, changes.jitter)
        return replace(sample, image=image)

    def of_started(self, started: RegistrationBatch) -> StageOutput:
        """Loss of the corrections of given starts."""
        loss, statistics = network_loss(self.network, started, self.config)
        count = loss.new_tensor(float(len(started)))
        return StageOutput(loss_sum=loss.sum(), count=count, statistics=statistics)

    def corrected(self, started: RegistrationBatch) -> Rigid:
        """Poses after one correction by the heads."""
        seen = pictures(started, self.config)
        depth_m = drawn(started.points, started.rough_map_from_camera, seen, self.config)
        found = self.network(seen.pixels, depth_input(depth_m, self.config))
        return composed(started.rough_map_from_camera, regressed(found))

    def started(self, batch: Batch) -> RegistrationBatch:
        """The batch with a start for each frame: random in training, always the same for a frame in validation."""
        images, clouds = batch.require_images(), batch.require_clouds()
        intrinsics, camera_from_map = batch.calibration()
        if self.network.training:
            uniform = torch.rand(len(batch), 7)
        else:
            uniform = torch.from_numpy(
                np.stack([generator(0, "validation start", frame.frame_id).random(7) for frame in batch.frames])
            ).float()
        chosen = [self.ranges[int(value * len(self.ranges))] for value in uniform[:, 6].tolist()]
        truth = inverse(camera_from_map)
        true_from_rough = drawn_starts(uniform[:, :6].to(truth.device), chosen)
        return RegistrationBatch(
            frames=batch.frames,
            images=images,
            intrinsics=intrinsics,
            points=[clouds.points[clouds.batch_index == n] for n in range(len(batch))],
            rough_map_from_camera=composed(truth, true_from_rough),
            true_map_from_camera=truth,
        )


def network_loss(
    network: CmrnetNetwork, batch: RegistrationBatch, config: CmrnetConfig
) -> tuple[Float[Tensor, " b"], dict[str, Tensor]]:
    """Loss of each frame, and sums for the record of training."""
    truth = require_truth(batch)
    with torch.no_grad():
        seen = pictures(batch, config)
        depth_m = drawn(batch.points, batch.rough_map_from_camera, seen, config)
        correction = composed(inverse(batch.rough_map_from_camera), truth)  # rough camera <- true camera
        axes = correction.new_tensor(FORWARD_FROM_CAMERA).expand_as(correction)
        target = composed(composed(axes, correction), inverse(axes))
    found = network(seen.pixels, depth_input(depth_m, config))
    loss = pose_loss(found.translation, found.quaternion, target[:, :3, 3], quaternion_of_rotation(target[:, :3, :3]))
    off_m = (found.translation - target[:, :3, 3]).norm(dim=1).sum().detach()
    statistics = {"off_m": off_m, "frames": off_m.new_tensor(float(len(batch)))}
    if config.displacements and found.displacement is not None and found.log_spread is not None:
        side = 2 ** len(config.channels)
        places = cells(depth_m, seen.intrinsics_px, side)
        wanted, weight = true_displacements(places, inverse(correction), seen.intrinsics_px, side)
        of_cells = displacement_loss(found.displacement.flatten(2), found.log_spread.flatten(1), wanted, weight)
        assert found.matching is not None
        of_shifts = matching_loss(found.matching.flatten(2), wanted, weight)
        loss = loss + config.displacements.weight * (of_cells + of_shifts)
        off = (found.displacement.flatten(2) - wanted).norm(dim=1) * weight
        statistics |= {"off_cells": off.sum().detach(), "cells": weight.sum()}
    return loss, statistics


def true_displacements(
    places: Cells, true_from_rough: Rigid, intrinsics_px: Float[Tensor, "b 4"], side: int
) -> tuple[Float[Tensor, "b 2 n"], Float[Tensor, "b n"]]:
    """How far the points of cells move in the image from the rough to the true pose, in cells; 1 where that counts."""
    moved = composed(places.points, true_from_rough[:, :3, :3].transpose(1, 2)) + true_from_rough[:, None, :3, 3]
    depth = moved[..., 2].clamp(min=0.5)
    fx, fy, cx, cy = intrinsics_px[:, :, None].unbind(1)
    position = torch.stack([fx * moved[..., 0] / depth + cx, fy * moved[..., 1] / depth + cy], dim=2)
    displacement = ((position - places.position_px) / side).transpose(1, 2)
    counts = (moved[..., 2] > 0.5) & (displacement.abs().amax(1) < MOST_CELLS)
    return displacement, places.is_there * counts
