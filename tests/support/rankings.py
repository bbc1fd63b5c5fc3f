"""Rankings of which only the ranks are of interest."""

import numpy as np

from benchmark.evaluation.ranks import Ranking


def ranking_of(first_positive_rank: np.ndarray) -> Ranking:
    """Queries with these ranks (0: no positive), and nothing known of what stands where."""
    ranks = np.asarray(first_positive_rank)
    n, unknown = len(ranks), np.full(len(ranks), np.nan)
    return Ranking(
        first_positive_rank=ranks,
        n_positives=(ranks > 0).astype(np.int64),
        n_candidates=np.maximum(ranks, 1),
        top_index=np.full((n, 25), -1),
        top_distance=np.full((n, 25), np.nan),
        best_positive_distance=unknown,
        best_negative_distance=unknown,
    )
