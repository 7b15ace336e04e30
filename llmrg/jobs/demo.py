"""The whole flow on one data set: graphs, knowledge base, five systems, one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from llmrg.config import Job
from llmrg.evaluation.report_types import ReportPage, UserStory
from llmrg.graph_store import read_graphs
from llmrg.jobs.build_graphs import build_graphs
from llmrg.jobs.experiment import Run, run_systems
from llmrg.jobs.files import write_json
from llmrg.jobs.graph_figures import graph_report, hit_curve, read_summary, stage_calls
from llmrg.jobs.graph_folder import TEST
from llmrg.jobs.manifest import machine, peak_bytes, versions
from llmrg.jobs.prepare import Prepared, prepare
from llmrg.jobs.progress import tell
from llmrg.jobs.recommend import recommend_with_chains
from llmrg.jobs.report import audit_runs, page_of, write_page
from llmrg.types import UserId

SYSTEMS = ("popular", "item_knn", "host", "sequence", "llmrg")
"""Keys of the systems that are compared; the last one is what the page is about."""

STORY_LENGTH = 5


def demo(job: Job) -> tuple[Path, ReportPage]:
    """Build graphs, train and compare, and write the page.

    Returns:
        The path of report.html, and what it shows.
    """
    tell("building reasoning graphs")
    build_graphs(job)
    prepared = prepare(job)
    tell("training and evaluation")
    runs = run_systems(job, prepared, {name: job.run.path / name for name in SYSTEMS})
    folder = job.graphs.path
    page = _page(job, prepared, runs, folder)
    write_json(
        job.run.path / "report.json",
        {
            "systems": {run.name: run.report for run in runs},
            **graph_report(folder),
            "memory": {"peak_bytes": peak_bytes()},
        },
    )
    write_json(
        job.run.path / "manifest.json",
        {
            "job": job.model_dump(mode="json"),
            "systems": [run.path.name for run in runs],
            "data": prepared.dataset.describe(),
            "versions": versions(),
            "machine": machine(),
        },
    )
    return write_page(page, job.run.path), page


def _page(job: Job, prepared: Prepared, runs: Sequence[Run], folder: Path) -> ReportPage:
    summary = read_summary(folder)
    calls = stage_calls(summary)
    asked, saved = sum(c.asked for c in calls), sum(c.saved for c in calls)
    facts = prepared.dataset.describe()
    note = f" It is a {prepared.dataset.note}." if prepared.dataset.note else ""
    problems = audit_runs(runs)
    return page_of(
        runs,
        title=f"llmrg on {prepared.dataset.name}",
        reasoner=summary["reasoner"],
        summary=(
            f"{summary['users']:,} reasoning graphs, {asked:,} questions asked and "
            f"{saved:,} saved by the knowledge base.",
            *([f"{len(summary['failed'])} users failed."] if summary["failed"] else []),
        ),
        dataset=(
            f"{prepared.dataset.name}: {facts['users']:,} users, {facts['items']:,} items, "
            f"{facts['interactions']:,} interactions.{note} Split: {prepared.split.name}, "
            "ranking over all items, items of the history removed."
        ),
        settings={
            "newest items per history": str(job.data.max_length),
            "verification threshold": str(job.verify.threshold),
            "imagined items per chain tip": str(job.extend.per_chain),
            "seeds": ", ".join(str(seed) for seed in job.train.seeds),
            "chosen by": "ndcg@10 on the validation items",
        },
        hits=(hit_curve(folder, "items linked from the knowledge base"),),
        calls=calls,
        stories=tuple(_stories(job, prepared, runs[-1], folder)),
        notes=(
            "Each row was trained on the training part alone. Graphs, statistics and the knowledge "
            "base never saw a validation or test item.",
            "The catalogue reasoner knows the behavior of the other fold of users only; a user's "
            "graph never depends on that user's own later items.",
            *(problems or ["The table passes the audit: one model's metrics could be these."]),
        ),
    )


def _stories(job: Job, prepared: Prepared, run: Run, folder: Path) -> list[UserStory]:
    """Three users whose target the last run ranked best, well and in the middle.

    They are chosen by rank, so that the page does not only show what went well; at each of the
    three places it is the nearest user who has a chain behind a recommended item, if there is one.
    """
    ranks = np.where(run.ranks[0] > 0, run.ranks[0], np.iinfo(np.int64).max)
    order = np.argsort(ranks, kind="stable")
    starts = (0, len(order) // 4, len(order) // 2)
    catalog = prepared.dataset.catalog
    titles = {item.item_id: item.title for item in catalog.items}
    graphs = {graph.user_id: graph for graph in read_graphs(folder / TEST)}
    stories: list[UserStory] = []
    for start, end in zip(starts, (*starts[1:], len(order)), strict=True):
        found = None
        for case in order[start : max(end, start + 1)].tolist():
            user_id = UserId(str(run.user_ids[case]))
            graph = graphs[user_id].extended()
            recommendations = recommend_with_chains(
                run.path, catalog=catalog, graph=graph, user_id=user_id, k=STORY_LENGTH
            )
            target = catalog.item(int(prepared.split.test.targets[case])).item_id
            story = UserStory(user_id, graph, recommendations, titles, target)
            found = found or story
            if any(each.chains for each in recommendations):
                found = story
                break
        if found is not None:
            stories.append(found)
    return stories
