"""Descriptors without a result, by one worker or by several that share nothing but a folder."""

import logging
import shutil
from pathlib import Path

from benchmark.descriptors.parts import all_encoded
from benchmark.descriptors.sharding import Shard, encode_shard, join_shards, missing_shards
from benchmark.device import torch_device
from benchmark.frames.depth import check_depth
from benchmark.frames.examining import check_files
from benchmark.registry import METHODS
from benchmark.runs.plan import Plan
from benchmark.runs.run import say_blind, sparse_backend_of, train
from benchmark.training.configuring import configure
from datasets.files import locked
from methods.layers.sparse import backend as sparse_backend

log = logging.getLogger(__name__)


def encode_part(plan: Plan, shard: Shard) -> list[Shard]:
    """Encode one shard of the frames that take part, if it is missing; returns the shards that are still missing.

    Whoever finds all shards joins them: then the descriptors are where ``bench`` looks for them, and the shards are
    removed. Weights that are to be trained are trained by the first worker, and the others wait for it.
    """
    for warning in plan.warnings:
        log.warning(warning)
    plan.check_data()
    (encoding,) = plan.encodings
    target = encoding.folder
    place = plan.runs / "shards" / target.name
    method = train(plan) if plan.weights.is_to_train and not plan.is_trained else None
    manifest = plan.manifest(encoding)
    if all_encoded(plan.dataset, plan.rows, target, manifest):
        log.info("nothing to do: %s is up to date", target)
        return []
    with locked(shard.folder(place)):
        if shard in missing_shards(plan.dataset, plan.rows, shard.of, place, manifest):
            say_blind(plan)
            check_depth(plan.dataset, configure(METHODS.get(plan.options.name), plan.options), plan.rows)
            check_files(plan.dataset, plan.rows)
            with sparse_backend.using(sparse_backend_of(plan, torch_device(plan.device))):
                encode_shard(method or train(plan), plan.dataset, plan.rows, shard, place, manifest)
    return _joined(plan, shard.of, place, target)


def _joined(plan: Plan, of: int, place: Path, target: Path) -> list[Shard]:
    """Join the shards if none is missing, else say which are."""
    (encoding,) = plan.encodings
    manifest = plan.manifest(encoding)
    with locked(target):
        if all_encoded(plan.dataset, plan.rows, target, manifest):  # another worker was faster
            return []
        missing = missing_shards(plan.dataset, plan.rows, of, place, manifest)
        if not missing:
            join_shards(plan.dataset, plan.rows, of, place, target, manifest)
            shutil.rmtree(place)
    return missing
