"""Compare finished runs on one page: table, intervals, paired tests, learning curves."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from llmrg.errors import DataError
from llmrg.evaluation.audit import audit_metrics
from llmrg.evaluation.report import render_html, render_markdown, to_json
from llmrg.evaluation.report_types import (
    Comparison,
    Estimate,
    LearningCurves,
    MetricRow,
    ReportPage,
)
from llmrg.evaluation.significance import paired_difference
from llmrg.jobs.experiment import Run, load_run
from llmrg.jobs.files import read_json, write_text

INTERVAL = "95% bootstrap interval over users and seeds"
COMPARISON_INTERVAL = "95% bootstrap interval over users, for these trained models"
SHOWN_EXTRA = ("mrr", "coverage")


def compare_runs(folders: Sequence[Path]) -> ReportPage:
    """Make the page for some run folders; the last one is tested against all others.

    Raises:
        DataError: if two runs were trained on different data or asked different questions.
    """
    runs = [load_run(folder) for given in folders for folder in _run_folders(given)]
    return page_of(runs, title="Comparison of runs", reasoner=_reasoner_of(runs))


def _run_folders(given: Path) -> list[Path]:
    """The folder itself, or the runs inside it in the order their manifest names them."""
    if (given / "predictions.parquet").is_file():
        return [given]
    manifest = read_json(given / "manifest.json", made_by="llmrg demo, or llmrg run PIPELINE")
    return [given / name for name in manifest.get("systems", [])]


def page_of(runs: Sequence[Run], *, title: str, reasoner: str, **sections: Any) -> ReportPage:
    """A page with the sections that follow from runs; `sections` are other fields of the page.

    Raises:
        DataError: if the figures of two runs cannot be compared.
    """
    _check_comparable(runs)
    return ReportPage(
        title=title,
        reasoner=reasoner,
        when=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        rows=tuple(row_of(run) for run in runs),
        comparisons=tuple(_comparisons(runs)),
        learning=tuple(curve for run in runs for curve in _learning(run)),
        interval=INTERVAL,
        comparison_interval=COMPARISON_INTERVAL,
        **sections,
    )


def write_page(page: ReportPage, folder: Path) -> Path:
    """Write report.html, report.md and page.json; return the path of the first."""
    write_text(folder / "report.html", render_html(page))
    write_text(folder / "report.md", render_markdown(page))
    write_text(folder / "page.json", json.dumps(to_json(page), ensure_ascii=False, indent=1))
    return folder / "report.html"


def row_of(run: Run) -> MetricRow:
    """The test figures of one run: hit rate and NDCG at every cut-off, MRR and coverage at 10."""
    test = run.report["metrics"]["test"]
    cutoffs = sorted({int(key.split("@")[1].split(".")[0]) for key in test})
    middle = 10 if 10 in cutoffs else cutoffs[-1]
    names = [f"{name}@{k}" for name in ("hit_rate", "ndcg") for k in cutoffs]
    names += [f"{name}@{middle}" for name in SHOWN_EXTRA]
    metrics = {n: Estimate(test[n], test.get(f"{n}.low"), test.get(f"{n}.high")) for n in names}
    return MetricRow(run.name, run.report["note"], metrics)


def audit_runs(runs: Sequence[Run]) -> list[str]:
    """Bounds that one model's metrics must keep and these do not; empty if all is well."""
    found = []
    for run in runs:
        means = {k: v for k, v in run.report["metrics"]["test"].items() if "." not in k}
        found += [f"{run.name}: {problem}" for problem in audit_metrics(means)]
    return found


def _check_comparable(runs: Sequence[Run]) -> None:
    for run in runs[1:]:
        what = _difference(runs[0], run)
        if what:
            raise DataError(
                f"{run.path} and {runs[0].path} have different {what}, so their figures cannot be "
                "compared; run both on the same data and split"
            )


def _difference(a: Run, b: Run) -> str:
    """The first thing that sets the questions of two runs apart; empty if they are the same."""
    mine, others = a.manifest, b.manifest
    if mine["evaluate"]["split"] != others["evaluate"]["split"]:
        return f"splits ({others['evaluate']['split']} and {mine['evaluate']['split']})"
    if mine["data"]["digest"] != others["data"]["digest"]:
        return "interactions or catalogs"
    if mine["data"]["cut"] != others["data"]["cut"]:
        return "training parts"
    if not np.array_equal(a.user_ids, b.user_ids):
        return "tested users"
    return "" if np.array_equal(a.targets, b.targets) else "held-out items"


def _comparisons(runs: Sequence[Run]) -> list[Comparison]:
    if len(runs) < 2:
        return []
    last = runs[-1]
    found = []
    for metric in ("ndcg@10", "hit_rate@10"):
        for run in runs[:-1]:
            difference = paired_difference(last.per_user(metric), run.per_user(metric))
            estimate = Estimate(difference.mean, difference.low, difference.high)
            found.append(Comparison(last.name, run.name, metric, estimate, difference.p_value))
    return found


def _learning(run: Run) -> list[LearningCurves]:
    return [
        LearningCurves(
            system=run.name,
            seed=curve["seed"],
            epochs=tuple(curve["epochs"]),
            loss=tuple(curve["loss"]),
            valid=tuple(float("nan") if v is None else v for v in curve["valid"]),
        )
        for curve in run.report.get("learning", [])
    ]


def _reasoner_of(runs: Sequence[Run]) -> str:
    names = {run.report.get("llm", {}).get("reasoner", "") for run in runs} - {""}
    return ", ".join(sorted(names))
