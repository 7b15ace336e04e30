"""A user's recommendations from a finished run, with the chains of the graph that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from llmrg.config import Job, restore_job
from llmrg.errors import DataError
from llmrg.graph_store import read_graph
from llmrg.jobs.files import read_json
from llmrg.jobs.graph_figures import read_summary
from llmrg.jobs.graph_folder import TEST
from llmrg.jobs.prepare import prepare
from llmrg.types import Chain, ItemId, ReasoningGraph, Recommendation

MOST_CHAINS = 3


def read_best(folder: Path, k: int) -> pd.DataFrame:
    """Read the best `k` items of each user from the predictions of a run's first seed.

    Returns:
        Columns user_id, item_id, rank and score; ranks ascend within a user.
    """
    report = read_json(folder / "report.json", made_by="llmrg run PIPELINE")
    filters = [("seed", "==", report["seeds"][0]), ("rank", "<=", k)]
    columns = ["user_id", "item_id", "rank", "score"]
    return pd.read_parquet(folder / "predictions.parquet", columns=columns, filters=filters)


def recommendations_of(
    rows: pd.DataFrame, graph: ReasoningGraph | None
) -> tuple[Recommendation, ...]:
    """One user's rows of `read_best`, with the chains behind them.

    Args:
        graph: the graph the run saw; None for a run without graphs.

    Returns:
        The chains of an item are those of the graph that end in it, best verified first: none
        means that the item comes from the sequence model alone.
    """
    columns = (rows[name].tolist() for name in ("item_id", "score", "rank"))
    return tuple(
        Recommendation(
            item_id=ItemId(item_id),
            score=score,
            rank=rank,
            chains=chains_to(graph, item_id) if graph is not None else (),
        )
        for item_id, score, rank in zip(*columns, strict=True)
    )


def recommend_to(folder: Path, user_id: str, k: int) -> dict[str, Any]:
    """A user's best items by a finished run; its manifest says which graphs belong to it.

    Raises:
        DataError: if the user was not tested.
    """
    manifest = read_json(folder / "manifest.json", made_by="llmrg demo, or llmrg run PIPELINE")
    job = restore_job(manifest["job"], folder / "manifest.json")
    best = read_best(folder, k)
    rows = best[best["user_id"] == user_id]
    if rows.empty:
        raise DataError(
            f"{folder / 'predictions.parquet'} has no predictions for user {user_id!r}: only "
            f"tested users have some; choose one of those, such as {best['user_id'].iloc[0]!r}"
        )
    graph = _graph_of(job, user_id) if manifest["system"].get("graph") == "llmrg" else None
    catalog = prepare(job).dataset.catalog
    return {
        "user_id": user_id,
        "system": read_json(folder / "report.json", made_by="llmrg run PIPELINE")["system"],
        "recommendations": [
            {
                "rank": each.rank,
                "item_id": each.item_id,
                "title": catalog.item(catalog.index_of[each.item_id]).title,
                "score": each.score,
                "chains": [_chain_as_text(chain) for chain in each.chains],
            }
            for each in recommendations_of(rows, graph)
        ],
    }


def _graph_of(job: Job, user_id: str) -> ReasoningGraph | None:
    """The graph of a user at test time; None if it could not be built."""
    failed = {user["user_id"] for user in read_summary(job.graphs.path)["failed"]}
    return None if user_id in failed else read_graph(job.graphs.path / TEST, user_id).extended()


def recommendations_as_text(found: dict[str, Any]) -> str:
    """For a terminal."""
    lines = [f"{found['system']} for user {found['user_id']}"]
    for each in found["recommendations"]:
        lines.append(f"{each['rank']:3d}. {each['title']}  ({each['score']:.3f})")
        chains = each["chains"] or ["no chain names this item: it comes from the sequence model"]
        lines += [f"       {chain}" for chain in chains]
    return "\n".join(lines)


def _chain_as_text(chain: Chain) -> str:
    parts = [chain.steps[0].node.text]
    for step in chain.steps[1:]:
        because = f" ({step.reason})" if step.reason else ""
        parts.append(f"{'→' if step.origin == 'observed' else '⇢'} {step.node.text}{because}")
    verdict = chain.verdict
    return " ".join(parts) + (f"  [{verdict.score:.0f}]" if verdict else "")


def chains_to(graph: ReasoningGraph, item_id: str) -> tuple[Chain, ...]:
    """The chains of a graph that end in an item, best verified first."""
    chains = [
        graph.chain(index)
        for index, step in enumerate(graph.steps)
        if step.node.kind == "item" and step.node.key == item_id
    ]
    chains.sort(key=lambda chain: -(chain.verdict.score if chain.verdict else 0.0))
    return tuple(chains[:MOST_CHAINS])
