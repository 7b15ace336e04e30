"""One reasoning graph as a JSON document, for people, exchange and the web page.

The format is `graphs/reasoning_graph.schema.json`. Text with half of a surrogate pair is refused,
as in Parquet: UTF-8 cannot hold it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from llmrg.errors import GraphError
from llmrg.graph_store.rows import to_table
from llmrg.types import (
    GRAPH_SCHEMA_VERSION,
    Node,
    NodeKind,
    Origin,
    ReasoningGraph,
    Step,
    UserId,
    Verdict,
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class _Node(_Part):
    kind: NodeKind
    key: str
    text: str


class _Verdict(_Part):
    score: float
    accepted: bool
    chance: float | None
    hidden: str
    answered: str
    reasoner: str
    prompt: str
    recalled: bool


class _Step(_Part):
    parent: int
    node: _Node
    reason: str
    origin: Origin
    position: int
    verdict: _Verdict | None


class _Graph(_Part):
    schema_version: int = Field(ge=1)
    user_id: str
    observed_from: int
    observed_until: int
    reasoner: str
    steps: list[_Step]


def to_json(graph: ReasoningGraph) -> str:
    """Write one graph as indented JSON.

    Raises:
        GraphError: if the graph breaks the format.
    """
    to_table([graph], source="to_json")
    document = {
        "schema_version": graph.schema_version,
        "user_id": graph.user_id,
        "observed_from": graph.observed_from,
        "observed_until": graph.observed_until,
        "reasoner": graph.reasoner,
        "steps": [_step_document(step) for step in graph.steps],
    }
    return json.dumps(document, ensure_ascii=False, indent=2, allow_nan=False) + "\n"


def from_json(text: str) -> ReasoningGraph:
    """Parse and check what `to_json` wrote.

    Raises:
        GraphError: naming the field or step that is wrong, or a schema version that is too new.
    """
    _check_version(text)
    try:
        parsed = _Graph.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "document"
        raise GraphError(f"graph JSON: {place}: {first['msg']}") from error
    graph = ReasoningGraph(
        user_id=UserId(parsed.user_id),
        steps=tuple(_to_step(step) for step in parsed.steps),
        observed_from=parsed.observed_from,
        observed_until=parsed.observed_until,
        reasoner=parsed.reasoner,
    )
    to_table([graph], source="graph JSON")
    return graph


def _check_version(text: str) -> None:
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GraphError(f"graph JSON: not JSON ({error})") from error
    version = document.get("schema_version") if isinstance(document, dict) else None
    if isinstance(version, int) and version > GRAPH_SCHEMA_VERSION:
        raise GraphError(
            f"graph JSON: schema_version {version} is newer than {GRAPH_SCHEMA_VERSION}, the "
            "newest this llmrg reads; update llmrg"
        )


def _step_document(step: Step) -> dict[str, Any]:
    return {
        "parent": step.parent,
        "node": asdict(step.node),
        "reason": step.reason,
        "origin": step.origin,
        "position": step.position,
        "verdict": None if step.verdict is None else asdict(step.verdict),
    }


def _to_step(step: _Step) -> Step:
    return Step(
        node=Node(**step.node.model_dump()),
        reason=step.reason,
        origin=step.origin,
        position=step.position,
        parent=step.parent,
        verdict=None if step.verdict is None else Verdict(**step.verdict.model_dump()),
    )
