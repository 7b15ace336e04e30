"""Comparing finished runs: only where the question was the same, and with honest intervals."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from llmrg.errors import DataError
from llmrg.evaluation.report import render_html
from llmrg.jobs.experiment import load_run
from llmrg.jobs.report import COMPARISON_INTERVAL, INTERVAL, compare_runs

MANIFEST = {
    "data": {"name": "tiny", "digest": "d1", "cut": "leave_one_out:c1"},
    "evaluate": {"split": "leave_one_out", "at": [10]},
}


def write_run(folder: Path, name: str, *, targets=("i1", "i2"), users=("u", "v"), **manifest):
    """A run of one seed that ranks the first user's target first and misses the second's."""
    folder.mkdir()
    best = [targets[0], "i9"]
    rows = [(user, best[n], 1, 0.5, targets[n], 0) for n, user in enumerate(users)]
    names = ["user_id", "item_id", "rank", "score", "target", "seed"]
    pd.DataFrame(rows, columns=names).to_parquet(folder / "predictions.parquet")
    values = {"hit_rate@10": 0.5, "ndcg@10": 0.5, "mrr@10": 0.5, "coverage@10": 0.1}
    bounds = {f"{k}.{end}": v for k, v in values.items() for end in ("low", "high")}
    report = {"system": name, "note": "", "seeds": [0], "metrics": {"test": {**values, **bounds}}}
    (folder / "report.json").write_text(json.dumps(report))
    (folder / "manifest.json").write_text(json.dumps({**MANIFEST, **manifest}))
    return folder


def test_a_run_knows_what_its_users_took_next(tmp_path):
    run = load_run(write_run(tmp_path / "a", "a"))
    assert dict(zip(run.user_ids, run.targets, strict=True)) == {"u": "i1", "v": "i2"}
    assert run.ranks.tolist() == [[1, 0]]
    assert run.manifest["data"]["digest"] == "d1"


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({"targets": ("i1", "i3")}, "held-out items"),
        ({"users": ("u", "w")}, "tested users"),
        ({"data": {**MANIFEST["data"], "digest": "d2"}}, "interactions or catalogs"),
        ({"data": {**MANIFEST["data"], "cut": "leave_one_out:c2"}}, "training parts"),
        ({"evaluate": {"split": "global_time"}}, "splits (global_time and leave_one_out)"),
    ],
)
def test_runs_that_were_asked_other_questions_are_not_compared(tmp_path, other, what):
    one, two = write_run(tmp_path / "one", "a"), write_run(tmp_path / "two", "b", **other)
    message = f"{two} and {one} have different {what}, so"
    with pytest.raises(DataError, match=re.escape(message)):
        compare_runs([one, two])


def test_intervals_of_differences_say_that_they_are_over_users_alone(tmp_path):
    page = compare_runs([write_run(tmp_path / name, name) for name in ("a", "b")])
    assert (page.interval, page.comparison_interval) == (INTERVAL, COMPARISON_INTERVAL)
    table, differences = render_html(page).split("<h2>Comparisons</h2>")
    assert INTERVAL in table
    assert COMPARISON_INTERVAL not in table
    assert f"the interval ({COMPARISON_INTERVAL}) holds 0" in differences
