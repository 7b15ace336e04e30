"""Figures about a folder of graphs: what was asked, what the knowledge base saved, and when."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from llmrg.evaluation.report_types import HitCurve, StageCalls
from llmrg.graph_store.checks import NO_STEPS, numbers
from llmrg.graph_store.steps import read_table, shards_of
from llmrg.jobs.files import read_json
from llmrg.jobs.graph_folder import MADE_BY

CURVE_POINTS = 60


def read_summary(folder: Path) -> dict[str, Any]:
    """What `build_graphs` counted in this folder."""
    summary: dict[str, Any] = read_json(folder / "summary.json", made_by=MADE_BY)
    return summary


def stage_calls(summary: dict[str, Any]) -> tuple[StageCalls, ...]:
    """Questions by stage: asked, saved by the knowledge base, and without a usable answer.

    One recalled link saves its verification; the score question it may have needed is not counted
    as saved, since a right answer is never sent to the scorer.
    """
    tally = summary["tally"]

    def calls(stage: str) -> StageCalls:
        return StageCalls(
            stage=stage,
            asked=tally.get(f"{stage}.asked", 0) + tally.get(f"{stage}.reasked", 0),
            saved=tally.get(f"{stage}.recalled", 0),
            failed=tally.get(f"{stage}.invalid", 0),
        )

    return tuple(calls(stage) for stage in ("chain", "extend", "verify", "score"))


def hit_curve(folder: Path, label: str) -> HitCurve:
    """Share of history items that the knowledge base could link, in the order they were reasoned.

    A point is the share over the last stretch of steps, not over all of them, so that the curve
    shows what a user costs at that time.
    """
    columns = ["user_id", "position", "kind", "origin", "recalled"]
    tables = [read_table(s).select(columns).to_pandas() for s in shards_of(folder / "train")]
    steps = pd.concat(tables, ignore_index=True)
    items = steps[(steps["kind"] == "item") & (steps["origin"] == "observed")]
    recalled = items["recalled"].fillna(False).astype(bool)
    served = recalled.groupby([items["user_id"], items["position"]], sort=False).any().to_numpy()
    if not len(served):
        return HitCurve(label, (), ())
    edges = np.unique(np.linspace(0, len(served), min(CURVE_POINTS, len(served)) + 1).astype(int))
    total = np.concatenate([[0], np.cumsum(served)])
    share = np.diff(total[edges]) / np.diff(edges)
    return HitCurve(label, tuple(edges[1:].tolist()), tuple(share.tolist()))


def graph_report(folder: Path) -> dict[str, Any]:
    """The `graphs` and `llm` parts of a report."""
    summary = read_summary(folder)
    tables = [read_table(shard).select(["step"]) for shard in shards_of(folder / "train")]
    steps = sum(int(np.count_nonzero(numbers(table, "step") != NO_STEPS)) for table in tables)
    calls = stage_calls(summary)
    spent = read_json(folder / "timing.json", made_by=MADE_BY)
    return {
        "graphs": {
            "users": summary["users"],
            "steps": steps,
            "seconds": spent["seconds"],
        },
        "llm": {
            "reasoner": summary["reasoner"],
            "calls": sum(stage.asked for stage in calls),
            "recalled": sum(stage.saved for stage in calls),
            "failed": sum(stage.failed for stage in calls),
            "tokens": spent["tokens"],
            "cost_usd": 0.0 if summary["reasoner"].startswith("catalog:") else None,
            "stages": {
                stage.stage: {"asked": stage.asked, "saved": stage.saved, "failed": stage.failed}
                for stage in calls
            },
        },
    }
