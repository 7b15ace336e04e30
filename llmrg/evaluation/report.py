"""Shows a run: one self-contained HTML page, Markdown for a README, or plain JSON values."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from llmrg.evaluation.report_types import (
    Comparison,
    Curve,
    Estimate,
    HitCurve,
    LearningCurves,
    MetricRow,
    ReportPage,
    StageCalls,
    UserStory,
    who_reasoned,
)
from llmrg.graph_views.markup import clean

__all__ = [
    "Comparison",
    "Curve",
    "Estimate",
    "HitCurve",
    "LearningCurves",
    "MetricRow",
    "ReportPage",
    "StageCalls",
    "UserStory",
    "render_html",
    "render_markdown",
    "to_json",
    "who_reasoned",
]


def render_html(page: ReportPage) -> str:
    """Return one HTML file that needs nothing from outside; the same page gives the same bytes."""
    # Only HTML needs matplotlib, which takes a second to import.
    from llmrg.evaluation.report_page import render

    return render(page)


def render_markdown(page: ReportPage) -> str:
    """Return the tables of the page as Markdown, every outside text escaped."""
    blocks = [f"## {_plain(page.title)}", *map(_plain, page.summary)]
    blocks.append(_plain(who_reasoned(page.reasoner)))
    if page.rows:
        blocks.append(_systems(page))
        blocks.append(f"Best mean of each column in bold; in brackets the {_plain(page.interval)}.")
    if page.comparisons:
        blocks.append(_comparisons(page))
        blocks.append(f"In brackets the {_plain(page.comparison_interval)}.")
    if page.notes:
        blocks.append("\n".join(f"- {_plain(note)}" for note in page.notes))
    return "\n\n".join(blocks) + "\n"


def _plain(text: str) -> str:
    """Escape what Markdown, or HTML inside Markdown, would read as markup."""
    return re.sub(r"([\\`*_\[\]<>|#&~$])", r"\\\1", clean(text))


def _systems(page: ReportPage) -> str:
    metrics = page.metrics()
    lines = [_cells("system", *map(_plain, metrics)), _cells("---", *["---:"] * len(metrics))]
    for row in page.rows:
        name = _plain(row.system) + (f" ({_plain(row.note)})" if row.note else "")
        lines.append(_cells(name, *(_estimate(page, row, metric) for metric in metrics)))
    return "\n".join(lines)


def _estimate(page: ReportPage, row: MetricRow, metric: str) -> str:
    if metric not in row.metrics:
        return "–"
    mean = row.metrics[metric].printed()
    if page.is_best(row, metric):
        mean = f"**{mean}**"
    return f"{mean} {row.metrics[metric].brackets()}".strip()


def _comparisons(page: ReportPage) -> str:
    lines = [
        _cells("system", "against", "metric", "difference", "p", "reading"),
        _cells("---", "---", "---", "---:", "---:", "---"),
    ]
    for one in page.comparisons:
        names = map(_plain, (one.system, one.against, one.metric))
        change = f"{one.difference.printed(sign=True)} {one.difference.brackets(sign=True)}"
        lines.append(_cells(*names, change.strip(), _plain(one.p_printed), one.reading))
    return "\n".join(lines)


def _cells(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"


def to_json(page: ReportPage) -> dict[str, Any]:
    """Return the page as values that `json.dumps` takes; numbers that are not finite are None.

    Keys are the fields of the dataclasses. A story's graph is given by its size only: graphs have
    their own format and file.
    """
    values: dict[str, Any] = _values(page)
    values["stories"] = [_story(story) for story in page.stories]
    return values


def _values(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, tuple):
        return [_values(one) for one in value]
    if isinstance(value, Mapping):
        return {str(key): _values(one) for key, one in value.items()}
    if is_dataclass(value):
        return {
            one.name: _values(getattr(value, one.name))
            for one in fields(value)
            if one.name != "stories"
        }
    return value


def _story(story: UserStory) -> dict[str, Any]:
    return {
        "user_id": story.user_id,
        "target": story.target,
        "graph": {
            "steps": len(story.graph.steps),
            "chains": len(list(story.graph.extended().tips())),
            "observed_until": story.graph.observed_until,
        },
        "recommendations": [
            {
                "item_id": one.item_id,
                "title": story.title(one.item_id),
                "rank": one.rank,
                "score": _values(float(one.score)),
                "chains": [
                    [{"text": step.node.text, "reason": step.reason} for step in chain.steps]
                    for chain in one.chains
                ],
            }
            for one in story.recommendations
        ],
    }
