"""Can these hit rates and NDCGs be the figures of one model? Arithmetic leaves little freedom.

With one relevant item per user, a hit at rank r adds 1 to the hit rate and 1 / log2(r + 1) to the
NDCG. Between two cut-offs k1 < k2 all new hits have ranks k1 + 1 to k2, so, averaged over any users
and seeds,

    dHR / log2(k2 + 1)  <=  dNDCG  <=  dHR / log2(k1 + 2)

where dHR = HR@k2 - HR@k1 and dNDCG likewise. With k1 = 0, where both are 0, the same line says
HR@k / log2(k + 1) <= NDCG@k <= HR@k; with k1 = 1 it uses NDCG@1 = HR@1. A table that breaks a bound
mixes figures of different runs or checkpoints, counts several relevant items, or has a misprint.

Source: own derivation. Of the 36 rows in Table 5 of arXiv 2308.10835, 24 break it; the figures of
released code that were checked do not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import pairwise
from math import log2

from llmrg.errors import ConfigError

FOUR_DECIMALS = 5e-5
"""Largest rounding error of one figure printed with four decimals."""

FLOAT_NOISE = 1e-9
"""Sums taken in another order differ by less than this."""


def audit_row(
    hr: Mapping[int, float], ndcg: Mapping[int, float], *, eps: float = FOUR_DECIMALS
) -> list[str]:
    """List the bounds that one row of a table breaks, whatever the rounding.

    Args:
        hr: cut-off → hit rate (or recall), as a share from 0 to 1.
        ndcg: cut-off → NDCG; its cut-offs may differ from those of `hr`.
        eps: largest rounding error of one figure; 0 for figures at full precision.

    Returns:
        One sentence per broken bound; empty if the row can be one model's.

    Raises:
        ValueError: if a cut-off is smaller than 1.

    Example:
        The DuoRec row of that table, ML-1M: `audit_row({5: 0.2011, 10: 0.2837}, {5: 0.1265, 10:
        0.1663})` reports that NDCG rose by 0.0398 while 0.0826 more hits allow at most 0.0294.
    """
    low_cutoff = min([*hr, *ndcg], default=1)
    if low_cutoff < 1:
        raise ValueError(f"a cut-off must be at least 1 (got {low_cutoff})")
    out_of_range = [
        f"{name}@{k} = {value} is not a share between 0 and 1"
        for name, figures in (("HR", hr), ("NDCG", ndcg))
        for k, value in figures.items()
        if not 0.0 <= value <= 1.0
    ]
    if out_of_range:
        return out_of_range
    return [*_falling("HR", hr), *_falling("NDCG", ndcg), *_gains(hr, ndcg, eps)]


def audit_metrics(metrics: Mapping[str, float], *, eps: float = 0.0) -> list[str]:
    """Audit figures named as `Evaluation.metrics` names them: "hit_rate@5", "ndcg@5", "recall@5".

    Other metrics are passed over. The figures are taken at full precision unless `eps` says
    otherwise.

    Raises:
        ConfigError: if the cut-off of one is not a whole number.
    """
    hr: dict[int, float] = {}
    ndcg: dict[int, float] = {}
    for name, value in metrics.items():
        metric, _, cutoff = name.partition("@")
        if metric not in ("hit_rate", "recall", "ndcg"):
            continue
        if not (cutoff.isascii() and cutoff.isdigit()):
            raise ConfigError(f"metric {name!r} needs a cut-off after '@', as in '{metric}@10'")
        (ndcg if metric == "ndcg" else hr)[int(cutoff)] = value
    return audit_row(hr, ndcg, eps=eps)


def _falling(name: str, figures: Mapping[int, float]) -> Iterator[str]:
    """Both figures can only grow with the cut-off; rounding keeps the order."""
    for (small, before), (large, after) in pairwise(sorted(figures.items())):
        if after < before - FLOAT_NOISE:
            yield f"{name}@{large} = {after} is below {name}@{small} = {before}"


def _gains(hr: Mapping[int, float], ndcg: Mapping[int, float], eps: float) -> Iterator[str]:
    """The bounds between every two cut-offs, the lower of which both figures know."""
    hr, ndcg = {0: 0.0, **hr}, {0: 0.0, **ndcg}
    # At cut-off 1 both figures are the share of targets ranked first.
    if 1 in hr:
        ndcg.setdefault(1, hr[1])
    elif 1 in ndcg:
        hr[1] = ndcg[1]
    for start in sorted(hr.keys() & ndcg.keys()):
        error = (2.0 if start else 1.0) * eps + FLOAT_NOISE
        # NDCG <= HR needs no allowance: rounding keeps the order.
        slack = error if start else FLOAT_NOISE
        for k, at in _cutoffs(ndcg, hr, start):
            gain, hits = ndcg[k] - ndcg[start], hr[at] - hr[start]
            if gain - slack > (hits + slack) / log2(start + 2):
                yield _sentence("above", (k, at, start), gain, hits, start + 2)
        for at, k in _cutoffs(hr, ndcg, start):
            gain, hits = ndcg[k] - ndcg[start], hr[at] - hr[start]
            if gain + error < (hits - error) / log2(at + 1):
                yield _sentence("below", (k, at, start), gain, hits, at + 1)


def _cutoffs(
    figure: Mapping[int, float], other: Mapping[int, float], start: int
) -> Iterator[tuple[int, int]]:
    """Each cut-off of a figure above `start`, with the nearest of the other that is no smaller.

    Both figures only grow, so a larger cut-off of the other still bounds, if less closely.
    """
    for k in sorted(figure):
        no_smaller = [at for at in other if at >= k]
        if k > start and no_smaller:
            yield k, min(no_smaller)


def _sentence(
    side: str, cutoffs: tuple[int, int, int], gain: float, hits: float, discount: int
) -> str:
    k, at, start = cutoffs
    left = f"NDCG@{k} - NDCG@{start}" if start else f"NDCG@{k}"
    right = f"(HR@{at} - HR@{start})" if start else f"HR@{at}"
    divisor = "" if discount == 2 else f" / log2({discount})"
    return f"{left} = {gain:.6g} is {side} {right}{divisor} = {hits / log2(discount):.6g}"
