"""A user's recommendations from a finished run, with the chains of the graph that name them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd

from llmrg.config import restore_job
from llmrg.data.catalog import Catalog
from llmrg.errors import DataError
from llmrg.graph_store import read_graph
from llmrg.jobs.files import read_json
from llmrg.jobs.graph_folder import TEST
from llmrg.jobs.prepare import prepare
from llmrg.types import Chain, ItemId, ReasoningGraph, Recommendation, UserId

MOST_CHAINS = 3


def recommend_with_chains(
    folder: Path, *, catalog: Catalog, graph: ReasoningGraph | None, user_id: UserId, k: int
) -> tuple[Recommendation, ...]:
    """Read the best items of a user from a run's predictions.

    Args:
        folder: a run folder; the predictions of its first seed are read.
        graph: the graph the run saw; None for a run without graphs.

    Returns:
        At most `k` items. The chains of an item are those of the graph that end in it, best
        verified first: none means that the item comes from the sequence model alone.

    Raises:
        DataError: if the run has no predictions for the user.
    """
    path = folder / "predictions.parquet"
    table = pd.read_parquet(path, filters=[("user_id", "=", str(user_id))])
    if table.empty:
        raise DataError(f"{path} has no predictions for user {user_id!r}; was the user tested?")
    table = table[table["seed"] == table["seed"].iloc[0]].sort_values("rank").head(k)
    return tuple(
        Recommendation(
            item_id=ItemId(str(row.item_id)),
            score=float(row.score),
            rank=int(row.rank),
            chains=chains_to(graph, str(row.item_id)) if graph is not None else (),
        )
        for row in table.itertuples()
    )


def recommend_to(folder: Path, user_id: str, k: int) -> dict[str, Any]:
    """The same for a run folder alone: its manifest says which data and graphs belong to it."""
    manifest = read_json(folder / "manifest.json", made_by="llmrg demo, or llmrg run PIPELINE")
    job = restore_job(manifest["job"], folder / "manifest.json")
    prepared = prepare(job)
    catalog = prepared.dataset.catalog
    uses_graphs = manifest["system"].get("graph") == "llmrg"
    graph = read_graph(job.graphs.path / TEST, user_id).extended() if uses_graphs else None
    found = recommend_with_chains(
        folder, catalog=catalog, graph=graph, user_id=UserId(user_id), k=k
    )
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
            for each in found
        ],
    }


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
