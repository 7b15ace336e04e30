"""How well a ranking found the one held-out item: figures per case, whose mean is the metric.

All but coverage are functions of the *rank* of the target among all candidates. Ranks count from 1;
0 means the target was not ranked at all, which no cut-off turns into a hit. With one relevant item
per case recall equals the hit rate, and the ideal discounted gain is 1.

Source: Järvelin and Kekäläinen, "Cumulated gain-based evaluation of IR techniques", ACM TOIS 20(4),
2002, for NDCG; the values agree with trec_eval's success, ndcg_cut and recip_rank.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from llmrg.errors import ConfigError

Ranks = NDArray[np.integer[Any]]
PerCase = NDArray[np.float64]


def hit_rate_at_k(ranks: Ranks, k: int) -> PerCase:
    """1 where the target is among the first `k`, else 0.

    Ranks 1, 3, 12 and 0 at k = 3 give 1, 1, 0 and 0: a hit rate of 1/2.

    Args:
        ranks: rank of each target, from 1; 0 if it was not ranked. Shape (C,).

    Returns:
        One value per case. Shape (C,), float64.

    Raises:
        ValueError: if `k` is smaller than 1.
    """
    return _hits(ranks, k).astype(np.float64)


def recall_at_k(ranks: Ranks, k: int) -> PerCase:
    """Share of the relevant items among the first `k`; with one target, the hit rate.

    Ranks 1, 3, 12 and 0 at k = 3 give 1, 1, 0 and 0.

    Raises:
        ValueError: if `k` is smaller than 1.
    """
    return hit_rate_at_k(ranks, k)


def ndcg_at_k(ranks: Ranks, k: int) -> PerCase:
    """1 / log2(rank + 1) where the target is among the first `k`, else 0.

    Ranks 1, 3, 12 and 0 at k = 3 give 1, 1/2, 0 and 0: an NDCG of 3/8.

    Raises:
        ValueError: if `k` is smaller than 1.
    """
    return np.where(_hits(ranks, k), 1.0 / np.log2(np.maximum(ranks, 1) + 1.0), 0.0)


def mrr_at_k(ranks: Ranks, k: int) -> PerCase:
    """1 / rank where the target is among the first `k`, else 0: the reciprocal rank.

    Ranks 1, 3, 12 and 0 at k = 3 give 1, 1/3, 0 and 0: an MRR of 1/3.

    Raises:
        ValueError: if `k` is smaller than 1.
    """
    return np.where(_hits(ranks, k), 1.0 / np.maximum(ranks, 1), 0.0)


def coverage_at_k(items: NDArray[np.integer[Any]], k: int, num_items: int) -> float:
    """Share of the catalog that is among the first `k` of at least one user.

    With 4 items (`num_items` = 5), the top lists (1, 2) and (1, 3) cover 1/4 at k = 1 and 3/4 at
    k = 2.

    Args:
        items: predicted item indices, best first; 0 where nothing was predicted. Shape (C, K).
        num_items: N, padding included, as `Catalog.num_items` gives it.

    Raises:
        ValueError: if `k` is smaller than 1, or `items` holds too few columns to tell.
    """
    _check_cutoff(k)
    wanted = min(k, num_items - 1)
    if items.shape[1] < wanted:
        raise ValueError(
            f"coverage@{k} needs {wanted} predictions per user, but only {items.shape[1]} were "
            "kept; evaluate with a larger `keep`"
        )
    shown = np.unique(items[:, :k])
    return float(np.count_nonzero(shown) / (num_items - 1))


PER_CASE: dict[str, Callable[[Ranks, int], PerCase]] = {
    "hit_rate": hit_rate_at_k,
    "recall": recall_at_k,
    "ndcg": ndcg_at_k,
    "mrr": mrr_at_k,
}
"""The metrics that have a value for each case, by the name they are asked for: "ndcg@10"."""


def per_case(metric: str, ranks: Ranks) -> PerCase:
    """Compute a metric given by name and cut-off, such as "ndcg@10", for each case. Shape (C,).

    Raises:
        ConfigError: if there is no such metric, or its cut-off is not a whole number from 1.
    """
    name, _, cutoff = metric.partition("@")
    if name not in PER_CASE:
        close = difflib.get_close_matches(name, PER_CASE, n=1)
        hint = f"did you mean {close[0]!r}?" if close else f"choose from {', '.join(PER_CASE)}"
        raise ConfigError(f"there is no metric {metric!r} with a value per user; {hint}")
    if not (cutoff.isascii() and cutoff.isdigit()) or int(cutoff) < 1:
        raise ConfigError(f"metric {metric!r} needs a cut-off from 1 after '@', as in '{name}@10'")
    return PER_CASE[name](ranks, int(cutoff))


def _hits(ranks: Ranks, k: int) -> NDArray[np.bool_]:
    _check_cutoff(k)
    return (ranks >= 1) & (ranks <= k)


def _check_cutoff(k: int) -> None:
    if k < 1:
        raise ValueError(f"a cut-off must be at least 1 (got {k})")
