"""CMRNet: a network corrects the rough pose of a camera in a map of points (Cattaneo et al., ITSC 2019)."""

import math
from collections.abc import Sequence
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from datasets.base import Split
from methods.card import MethodCard, ShippedWeights
from methods.cmrnet.config import PRESETS, VARIANTS, CmrnetConfig, Displacements
from methods.cmrnet.network import CmrnetNetwork, Prediction, regressed
from methods.cmrnet.stages import CorrectionStage
from methods.cmrnet.view import cells, depth_input, drawn, pictures
from methods.layers.pose_solve import Solved, inflated_covariance, solve_motion
from methods.layers.poses import (
    Rigid,
    between,
    composed,
    inverse,
    rigid_again,
)
from methods.registration import Registered, Registrar, RegistrationBatch, belief_of


class Cmrnet(Registrar):
    """Both pyramids, a cost volume, and corrections that are repeated with the map drawn anew each time."""

    card = MethodCard(
        name="cmrnet",
        title="CMRNet: camera to LiDAR-map registration",
        paper="Cattaneo, Vaghi, Ballardini, Fontana, Sorrenti, Burgard: arXiv 1906.10109",
        venue="ITSC",
        year=2019,
        code="https://github.com/cattaneod/CMRNet",
        code_licence="CC BY-NC-SA 4.0",
        modalities="image, cloud",
        trained_on="KITTI odometry 03, 05, 06, 07, 08, 09",
        pretrained="nothing",
        sources="abstract and public code (facts; written anew)",
        deviations="quick: smaller, one network, depth features, displacements and a solve; docs/methods/cmrnet.md",
    )
    presets = PRESETS
    variants = VARIANTS
    shipped = (
        ShippedWeights(
            preset="quick",
            fingerprint="628329ec7c7217b2fcdcac17bc5e9b4c76889c81865bd12f8c6186aead3b978f",
            seed=0,
            file=Path(__file__).with_name("town-quick.safetensors"),
            sha256="57ecacecca3c0d562261945b319395b8a64991d6726dddd61f5cd1dfb00a892a",
            command="crossplace register --method cmrnet --preset quick --dataset town --seed 0 --retrain",
        ),
    )

    def __init__(self, config: CmrnetConfig | None = None) -> None:
        super().__init__()
        self.config: CmrnetConfig = config or CmrnetConfig()
        made = [CmrnetNetwork(self.config) for _ in range(self.config.n_networks)]
        self.networks = nn.ModuleList(made)
        self._in_order = made

    def stages(self, split: Split) -> Sequence[CorrectionStage]:
        """One stage for each network."""
        c = self.config
        if c.is_shared:
            return [CorrectionStage(self._in_order[0], c, c.ranges, "corrections")]
        return [
            CorrectionStage(network, c, (starts,), f"corrections-{number}")
            for number, (network, starts) in enumerate(zip(self._in_order, c.ranges, strict=True), 1)
        ]

    def register(self, batch: RegistrationBatch) -> Registered:
        """The poses after all iterations, and how sure the last one is."""
        c, seen = self.config, pictures(batch, self.config)
        pose = batch.rough_map_from_camera
        covariance = _spread(torch.eye(4).to(pose).expand_as(pose), c)
        for number in range(c.iterations):
            network = self._in_order[min(number, len(self._in_order) - 1)]
            depth_m = drawn(batch.points, pose, seen, c)
            found: Prediction = network(seen.pixels, depth_input(depth_m, c))
            if c.displacements and c.solves:
                solved = solved_correction(found, depth_m, seen.intrinsics_px, c.displacements, 2 ** len(c.channels))
                correction, covariance = (
                    inverse(solved.target_from_source),
                    inflated_covariance(solved.information, c.inflation),
                )
            else:
                correction = regressed(found)
                covariance = _spread(correction, c)
            pose = composed(pose, correction)
        return Registered(map_from_camera=rigid_again(pose), covariance=covariance, belief=belief_of(covariance))


def solved_correction(
    found: Prediction,
    depth_m: Float[Tensor, "b 1 h w"],
    intrinsics_px: Float[Tensor, "b 4"],
    options: Displacements,
    side: int,
) -> Solved:
    """``true_from_rough`` of each frame, from the displacements of the cells; no motion where the map is empty."""
    assert found.displacement is not None
    assert found.log_spread is not None
    places = cells(depth_m, intrinsics_px, side)
    wanted_px = places.position_px + side * found.displacement.flatten(2).transpose(1, 2)
    variance = 2 * (side * found.log_spread.flatten(1).exp()).square()  # of Laplace's law
    weight = places.is_there / (variance * options.shared_cells)
    sigma = depth_m.new_tensor([options.prior_m] * 3 + [math.radians(options.prior_deg)] * 3)
    return solve_motion(places.points, wanted_px, weight, intrinsics_px, sigma**-2, options.steps)


def _spread(last: Rigid, config: CmrnetConfig) -> Float[Tensor, "b 6 6"]:
    """Covariance of regressed poses: the usual error, and as much again as the last correction still moved."""
    moved_m, turned_rad = between(last, torch.eye(4).to(last).expand_as(last))
    of_position = config.regressed_m**2 + moved_m.square()
    of_rotation = math.radians(config.regressed_deg) ** 2 + turned_rad.square()
    return torch.diag_embed(torch.stack([of_position] * 3 + [of_rotation] * 3, dim=1))
