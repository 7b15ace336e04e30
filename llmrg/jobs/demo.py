"""The whole flow on one data set: graphs, knowledge base, five systems, one page."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.config import Job
from llmrg.evaluation.report_types import ReportPage, UserStory
from llmrg.graph_store import IMAGINED, KINDS, GraphTable, read_graph
from llmrg.jobs.build_graphs import build_prepared
from llmrg.jobs.experiment import Run, run_systems
from llmrg.jobs.files import write_json
from llmrg.jobs.graph_figures import graph_report, hit_curve, read_summary, stage_calls
from llmrg.jobs.graph_folder import TEST
from llmrg.jobs.manifest import peak_bytes
from llmrg.jobs.prepare import Prepared, prepare
from llmrg.jobs.progress import tell
from llmrg.jobs.recommend import read_best, recommendations_of
from llmrg.jobs.report import audit_runs, page_of, write_page
from llmrg.jobs.seeds import share_cores
from llmrg.jobs.systems import check_systems
from llmrg.types import ItemId, UserId

SYSTEMS = ("popular", "item_knn", "host", "sequence", "llmrg")
"""Keys of the systems that are compared; the last one is what the page is about."""

STORY_LENGTH = 5
ITEM = KINDS.index("item")


def demo(job: Job) -> tuple[Path, ReportPage]:
    """Build graphs, train and compare, and write the page.

    Returns:
        The path of report.html, and what it shows.

    Raises:
        ConfigError, MissingExtra: before any work, if a system cannot be made.
    """
    check_systems(SYSTEMS, job)
    prepared = prepare(job)
    tell("building reasoning graphs")
    build_prepared(job, prepared)
    tell("training and evaluation")
    runs = run_systems(job, prepared, {name: job.run.path / name for name in SYSTEMS})
    folder = job.graphs.path
    page = _page(job, prepared, runs, folder)
    write_json(
        job.run.path / "report.json",
        {
            "systems": {run.name: run.report for run in runs},
            **graph_report(folder),
            "memory": {"peak_bytes": _most_memory(runs)},
        },
    )
    write_json(
        job.run.path / "manifest.json",
        {
            "job": job.model_dump(mode="json"),
            "systems": [run.path.name for run in runs],
            "data": prepared.dataset.describe(),
            "versions": runs[-1].manifest["versions"],
            "machine": runs[-1].manifest["machine"],
        },
    )
    return write_page(page, job.run.path), page


def _most_memory(runs: Sequence[Run]) -> int:
    """An upper bound of what the job held at once, in bytes.

    It is this process's peak and, for each worker, the largest peak of any; they need not have
    held theirs at the same time.
    """
    workers, _ = share_cores(sum(len(run.report["seeds"]) for run in runs))
    return peak_bytes() + workers * max(int(run.report["memory"]["peak_bytes"]) for run in runs)


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
        hits=(hit_curve(folder, "items explained by a known link"),),
        calls=calls,
        stories=tuple(_stories(prepared, runs[-1], folder)),
        notes=_notes(job, summary["reasoner"], problems),
    )


def _notes(job: Job, reasoner: str, problems: Sequence[str]) -> tuple[str, ...]:
    """What a reader must know to judge the figures."""
    folds = (
        "The catalogue reasoner counted what other users took: for each user, those of the other "
        "folds only."
    )
    return (
        "Each row was trained on the training part alone. Training graphs, statistics and the "
        "knowledge base never saw a validation or test item. Test-time graphs also hold what "
        "became known before the test item, the validation item included, and never the test "
        "item.",
        *([folds] if reasoner.startswith("catalog:") else []),
        "Replacing a user's later items never changes the user's graph so far; only the start of a "
        f"window longer than max_length ({job.data.max_length}) moves with the length of the "
        "history.",
        *(problems or ["The table passes the audit: one model's metrics could be these."]),
    )


def _stories(prepared: Prepared, run: Run, folder: Path) -> list[UserStory]:
    """Three users whose target the last run ranked best, well and in the middle.

    They are chosen by rank, so that the page does not only show what went well; at each of the
    three places it is the nearest user who has a chain behind a recommended item, if there is one.
    Users without a test-time graph are passed over.
    """
    table = GraphTable.load(folder / TEST)
    best = read_best(run.path, STORY_LENGTH)
    has_graph = table.row_of(run.user_ids) >= 0
    explained = np.isin(run.user_ids.astype(str), _explained_users(best, table))
    catalog = prepared.dataset.catalog
    titles = {item.item_id: item.title for item in catalog.items}
    stories: list[UserStory] = []
    for case in _cases_of_stories(run.ranks[0], has_graph, explained):
        user_id = UserId(str(run.user_ids[case]))
        graph = read_graph(folder / TEST, user_id).extended()
        recommendations = recommendations_of(best[best["user_id"] == user_id], graph)
        target = ItemId(str(run.targets[case]))
        stories.append(UserStory(user_id, graph, recommendations, titles, target))
    return stories


def _explained_users(best: pd.DataFrame, table: GraphTable) -> NDArray[np.str_]:
    """Users whose extended test-time graph imagines an item that is recommended to them."""
    graph = table.graph_of_steps()
    known = table.observed_until[graph]
    imagined = (table.origin == IMAGINED) & (table.kind == ITEM)
    alive = (table.position < known) & (known <= table.alive_until)
    steps = np.flatnonzero(imagined & alive)
    pairs = pd.DataFrame(
        {"user_id": table.user_ids[graph[steps]], "item_id": table.keys[table.node[steps]]}
    )
    both = best.merge(pairs.drop_duplicates(), on=["user_id", "item_id"])
    return np.unique(both["user_id"].to_numpy(dtype=str))


def _cases_of_stories(
    ranks: NDArray[np.int64], has_graph: NDArray[np.bool_], explained: NDArray[np.bool_]
) -> list[int]:
    """One user at or behind each of three places of the ranking: best, first quarter, median.

    Args:
        ranks: of each user's target, 0 for a miss. Shape (C,), like the others.

    Returns:
        At each place the first explained user up to the next place, else the first with a graph.
    """
    order = np.argsort(np.where(ranks > 0, ranks, np.iinfo(np.int64).max), kind="stable")
    starts = sorted({0, len(order) // 4, len(order) // 2})
    cases = []
    for start, end in pairwise([*starts, len(order)]):
        near = order[start:end][has_graph[order[start:end]]]
        cases += [*near[explained[near]].tolist(), *near.tolist()][:1]
    return cases
