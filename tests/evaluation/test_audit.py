from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrg.errors import ConfigError
from llmrg.evaluation.audit import audit_metrics, audit_row
from llmrg.evaluation.metrics import hit_rate_at_k, ndcg_at_k

# Table 5 of arXiv 2308.10835 (LLMRG): for each data set the lines HR@5, HR@10, NDCG@5, NDCG@10; in
# each line FDSA, BERT4Rec, CL4SRec and DuoRec, each as base, with GPT-3.5 and with GPT-4.
TABLE_5 = """
.0909 .1097 .1143  .1124 .1423 .1490  .1141 .1369 .1380  .2011 .2270 .2307
.1631 .1923 .2004  .1910 .2168 .2225  .1866 .2189 .2226  .2837 .3237 .3277
.0599 .0726 .0780  .0713 .0896 .0947  .0721 .0829 .0841  .1265 .1563 .1594
.0878 .1069 .1126  .0980 .1208 .1255  .1013 .1192 .1219  .1663 .1877 .1891

.0237 .0269 .0278  .0201 .0239 .0247  .0398 .0442 .0454  .0552 .0603 .0617
.0418 .0480 .0492  .0413 .0486 .0504  .0664 .0731 .0739  .0839 .0882 .0894
.0195 .0226 .0231  .0192 .0219 .0225  .0221 .0239 .0243  .0350 .0375 .0382
.0275 .0315 .0323  .0263 .0293 .0301  .0322 .0348 .0353  .0447 .0476 .0482

.0119 .0143 .0147  .0128 .0148 .0152  .0166 .0179 .0184  .0190 .0208 .0211
.0197 .0225 .0232  .0202 .0223 .0229  .0273 .0303 .0313  .0311 .0334 .0340
.0073 .0078 .0080  .0081 .0086 .0089  .0093 .0098 .0101  .0118 .0125 .0128
.0109 .0115 .0117  .0113 .0118 .0119  .0125 .0130 .0135  .0155 .0167 .0169
"""


def rows_of_table_5() -> list[tuple[float, ...]]:
    blocks = [block.splitlines() for block in TABLE_5.strip().split("\n\n")]
    figures = np.array([[line.split() for line in block] for block in blocks], dtype=float)
    return [tuple(figures[block, :, column]) for block in range(3) for column in range(12)]


def audit(hr_5: float, hr_10: float, ndcg_5: float, ndcg_10: float) -> list[str]:
    return audit_row({5: hr_5, 10: hr_10}, {5: ndcg_5, 10: ndcg_10})


def test_24_of_the_36_rows_of_the_paper_cannot_be_one_models_figures() -> None:
    broken = [bool(audit(*row)) for row in rows_of_table_5()]
    assert len(broken) == 36
    assert sum(broken) == 24
    assert sum(broken[::3]) == 7  # The 12 rows of the bases.


def test_the_duorec_row_of_the_paper_gains_more_than_its_hits_allow() -> None:
    # (.1663 - .1265) / (.2837 - .2011) = .482, but at most 1 / log2(7) = .356 is possible.
    assert audit(0.2011, 0.2837, 0.1265, 0.1663) == [
        "NDCG@10 - NDCG@5 = 0.0398 is above (HR@10 - HR@5) / log2(7) = 0.0294227"
    ]


def test_an_ndcg_above_its_hit_rate_is_impossible() -> None:
    # SASRec on CDs in a table of R2ec.
    assert audit_row({10: 0.0081}, {10: 0.0119}) == ["NDCG@10 = 0.0119 is above HR@10 = 0.0081"]


@pytest.mark.parametrize(
    "row",
    [
        pytest.param((0.0543, 0.0821, 0.0315, 0.0405), id="SASRec-CE, RecBole, Beauty"),
        pytest.param((0.0555, 0.0830, 0.0326, 0.0415), id="SASRec-CE, DuoRec's code, Beauty"),
        pytest.param((0.0699, 0.0996, 0.0491, 0.0587), id="LIME-Rec, Beauty"),
        pytest.param((0.2038, 0.2946, 0.1390, 0.1680), id="DuoRec in its own paper, ML-1M"),
        pytest.param((0.2046, 0.2977, 0.1401, 0.1700), id="RecTools SASRec, ML-1M"),
        pytest.param((0.0721, 0.1004, 0.0518, 0.0609), id="BSARec, RecBoard, Beauty"),
    ],
)
def test_figures_of_released_code_pass(row: tuple[float, float, float, float]) -> None:
    assert audit(*row) == []


def test_a_gain_too_small_for_its_hits_is_reported() -> None:
    # 0.1 more hits at ranks 6 to 10 are worth at least 0.1 / log2(11) = 0.0289.
    assert audit(0.2, 0.3, 0.12, 0.13) == [
        "NDCG@10 - NDCG@5 = 0.01 is below (HR@10 - HR@5) / log2(11) = 0.0289065"
    ]


def test_the_hit_rate_at_1_bounds_the_ndcg_at_5() -> None:
    # HR@1 = 0.10 and 0.10 more hits at ranks 2 to 5: NDCG@5 is at most 0.10 + 0.10 / log2(3).
    assert audit_row({1: 0.10, 5: 0.20}, {5: 0.1630}) == []
    assert audit_row({1: 0.10, 5: 0.20}, {5: 0.1640}) == [
        "NDCG@5 - NDCG@1 = 0.064 is above (HR@5 - HR@1) / log2(3) = 0.063093"
    ]
    assert audit_row({5: 0.20}, {5: 0.1640}) == []


def test_at_cutoff_1_both_figures_are_the_same() -> None:
    assert audit_row({1: 0.2}, {1: 0.2}) == []
    assert audit_row({1: 0.2}, {1: 0.19}) == ["NDCG@1 = 0.19 is below HR@1 = 0.2"]


def test_figures_never_fall_with_the_cutoff() -> None:
    assert "HR@10 = 0.2 is below HR@5 = 0.3" in audit_row({5: 0.3, 10: 0.2}, {})
    assert "NDCG@20 = 0.1 is below NDCG@10 = 0.2" in audit_row({}, {10: 0.2, 20: 0.1})


def test_cutoffs_that_only_one_figure_has_still_bound_the_other() -> None:
    assert audit_row({20: 0.3}, {10: 0.31}) == ["NDCG@10 = 0.31 is above HR@20 = 0.3"]
    # 0.3 hits by rank 5 are worth at least 0.3 / log2(6), at any larger cut-off too.
    assert audit_row({5: 0.3}, {10: 0.1}) == ["NDCG@10 = 0.1 is below HR@5 / log2(6) = 0.116056"]
    assert audit_row({5: 0.3}, {10: 0.12}) == []


@pytest.mark.parametrize("value", [-0.1, 20.11, float("nan")])
def test_figures_that_are_no_shares_are_reported_first(value: float) -> None:
    assert audit_row({5: value}, {5: 0.1}) == [f"HR@5 = {value} is not a share between 0 and 1"]


def test_nothing_to_check_breaks_nothing() -> None:
    assert audit_row({}, {}) == []


def test_a_cutoff_below_1_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 1 \(got 0\)"):
        audit_row({0: 0.1}, {5: 0.1})


def test_metrics_are_audited_by_name_and_others_passed_over() -> None:
    fine = {"hit_rate@5": 0.2, "ndcg@5": 0.15, "mrr@5": 0.9, "coverage@5": 0.0, "seconds": 3.0}
    assert audit_metrics(fine) == []
    broken = {"recall@5": 0.2, "ndcg@5": 0.2001}
    assert audit_metrics(broken) == ["NDCG@5 = 0.2001 is above HR@5 = 0.2"]
    with pytest.raises(ConfigError, match="'ndcg@all' needs a cut-off after '@'"):
        audit_metrics({"ndcg@all": 0.2})


ranks_of_users = st.lists(st.integers(0, 60), min_size=1, max_size=80)
cutoffs = st.sets(st.integers(1, 50), min_size=1, max_size=5)


@given(ranks_of_users, cutoffs, cutoffs)
def test_figures_of_real_ranks_pass_at_any_cutoffs(
    ranks: list[int], hr_at: set[int], ndcg_at: set[int]
) -> None:
    array = np.array(ranks)
    hr = {k: float(hit_rate_at_k(array, k).mean()) for k in hr_at}
    ndcg = {k: float(ndcg_at_k(array, k).mean()) for k in ndcg_at}
    assert audit_row(hr, ndcg, eps=0.0) == []


@given(ranks_of_users, cutoffs, st.integers(2, 4))
def test_rounding_alone_never_breaks_a_bound(ranks: list[int], at: set[int], digits: int) -> None:
    array = np.array(ranks)
    hr = {k: round(float(hit_rate_at_k(array, k).mean()), digits) for k in at}
    ndcg = {k: round(float(ndcg_at_k(array, k).mean()), digits) for k in at}
    assert audit_row(hr, ndcg, eps=0.5 * 10**-digits) == []
