"""Run whatever job a pipeline file names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from llmrg.config import Job
from llmrg.errors import ConfigError


@dataclass(frozen=True)
class Outcome:
    """What a job leaves to print; `unfinished` if running it again would do more."""

    figures: dict[str, Any]
    text: str
    unfinished: bool = False


def run_job(job: Job, *, limit: int | None = None) -> Outcome:
    """Run a job, or resume it.

    Args:
        limit: only the first so many users; for build_graphs jobs.
    """
    if job.job == "build_graphs":
        return _build(job, limit)
    if limit is not None:
        raise ConfigError(f"--limit is for build_graphs jobs; this one is {job.job!r}")
    from llmrg.evaluation.report import render_markdown, to_json

    if job.job == "demo":
        from llmrg.jobs.demo import demo

        path, page = demo(job)
        return Outcome(to_json(page), f"{render_markdown(page)}\nreport: {path}")
    from llmrg.jobs.report import page_of
    from llmrg.jobs.train import train

    run = train(job)
    page = page_of([run], title=run.name, reasoner="")
    return Outcome(run.report, f"{render_markdown(page)}\nrun: {run.path}")


def _build(job: Job, limit: int | None) -> Outcome:
    from llmrg.jobs.build_graphs import build_graphs
    from llmrg.jobs.graph_figures import graph_report
    from llmrg.jobs.graph_folder import graphs_folder

    summary = build_graphs(job, limit=limit)
    folder = graphs_folder(job, limit)
    figures = graph_report(folder)
    lines = [
        f"{summary.users:,} graphs in {folder}, by {summary.reasoner}",
        f"questions: {json.dumps(figures['llm']['stages'])}",
    ]
    if summary.failed:
        first = summary.failed[0]
        lines.append(
            f"{len(summary.failed)} users failed, the first {first.user_id!r}: {first.error}; "
            "run the same command again to try them again"
        )
    return Outcome(figures, "\n".join(lines), bool(summary.failed))
