"""The tables of the report: systems with a drawn interval each, comparisons, calls by stage."""

from __future__ import annotations

import math
from collections.abc import Iterable

from llmrg.evaluation.report_types import Estimate, MetricRow, ReportPage
from llmrg.graph_views.markup import escape


def _table(caption: str, head: Iterable[str], rows: Iterable[str], *, kind: str = "") -> str:
    """A table that scrolls by itself, over its caption; all texts are markup already."""
    return (
        '<figure><div class="scroll" tabindex="0" role="region" '
        f'aria-label="Table, scrolls sideways"><table class="figures {kind}">\n<thead><tr>'
        + "".join(f'<th scope="col">{cell}</th>' for cell in head)
        + "</tr></thead>\n<tbody>\n"
        + "\n".join(rows)
        + f"\n</tbody></table></div><figcaption>{caption}</figcaption></figure>"
    )


def results(page: ReportPage) -> str:
    """All systems and metrics; empty text without rows."""
    if not page.rows:
        return ""
    metrics = page.metrics()
    scale = _Scale.of(page)
    caption = "Higher is better."
    if any(row.metrics[metric].brackets() for row in page.rows for metric in row.metrics):
        caption += f" Under each mean its interval ({escape(page.interval)})."
    if len(page.rows) > 1:
        caption += " The best mean of each column is bold and underlined."
    if scale:
        caption += (
            f" At the right, {escape(page.headline)} from {scale.low:.4f} to {scale.high:.4f}."
        )
    head = ["System", *map(escape, metrics), *([escape(page.headline)] if scale else [])]
    rows = []
    for row in page.rows:
        note = f'<span class="note">{escape(row.note)}</span>' if row.note else ""
        cells = [f'<th scope="row">{escape(row.system)}{note}</th>']
        cells.extend(_figure(page, row, metric) for metric in metrics)
        if scale:
            cells.append(f'<td class="bar">{scale.whisker(row.metrics.get(page.headline))}</td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    return _table(caption, head, rows)


def _figure(page: ReportPage, row: MetricRow, metric: str) -> str:
    if metric not in row.metrics:
        return "<td>–</td>"
    estimate = row.metrics[metric]
    mean = estimate.printed()
    if page.is_best(row, metric):
        mean = f'<strong class="best">{mean}</strong>'
    return f'<td>{mean}<span class="interval">{estimate.brackets()}</span></td>'


class _Scale:
    """Draws the headline metric of all rows on one axis."""

    def __init__(self, low: float, high: float) -> None:
        self.low, self.high = low, high

    @classmethod
    def of(cls, page: ReportPage) -> _Scale | None:
        """The range of all rows, or None where there is nothing to compare."""
        ends = [
            end
            for row in page.rows
            if (value := row.metrics.get(page.headline))
            for end in (value.mean, value.low, value.high)
            if end is not None and math.isfinite(end)
        ]
        return cls(min(ends), max(ends)) if len(ends) > 1 and min(ends) < max(ends) else None

    def whisker(self, estimate: Estimate | None) -> str:
        """A dot for the mean and a line for the interval."""
        if estimate is None or not math.isfinite(estimate.mean):
            return ""
        low, high = (
            end if end is not None and math.isfinite(end) else estimate.mean
            for end in (estimate.low, estimate.high)
        )
        left, middle, right = (
            6 + 128 * (value - self.low) / (self.high - self.low)
            for value in (low, estimate.mean, high)
        )
        return (
            '<svg class="whisker" viewBox="0 0 140 16" aria-hidden="true">'
            '<path class="axis" d="M6 8H134"/>'
            f'<path class="range" d="M{left:.1f} 8H{right:.1f}"/>'
            f'<circle cx="{middle:.1f}" cy="8" r="3.5"/></svg>'
        )


def comparisons(page: ReportPage) -> str:
    """Differences between systems; empty text without any."""
    if not page.comparisons:
        return ""
    rows = [
        f'<tr><th scope="row">{escape(one.system)}</th><td class="words">{escape(one.against)}</td>'
        f'<td class="words">{escape(one.metric)}</td><td>{one.difference.printed(sign=True)}'
        f'<span class="interval">{one.difference.brackets(sign=True)}</span></td>'
        f'<td>{escape(one.p_printed)}</td><td class="words">{one.reading}</td></tr>'
        for one in page.comparisons
    ]
    caption = (
        "Difference of the two means over the same users. “No clear difference” means that the "
        f"interval ({escape(page.comparison_interval)}) holds 0."
    )
    head = ["System", "Against", "Metric", "Difference", "p", "Reading"]
    return _table(caption, head, rows, kind="comparisons")


def calls(page: ReportPage) -> str:
    """Questions by stage, with their sum; empty text without any."""
    if not page.calls:
        return ""
    total = [sum(getattr(c, name) for c in page.calls) for name in ("asked", "saved", "failed")]
    rows = [_call_row(escape(c.stage), c.asked, c.saved, c.failed) for c in page.calls]
    rows.append(_call_row("all", *total, kind=' class="total"'))
    caption = (
        "Questions of each stage: sent to the reasoner, answered by the knowledge base instead, "
        "and sent without a usable answer."
    )
    head = ["Stage", "Asked", "Saved", "Saved share", "Failed"]
    return _table(caption, head, rows)


def _call_row(stage: str, asked: int, saved: int, failed: int, *, kind: str = "") -> str:
    share = f"{saved / (asked + saved):.1%}" if asked + saved else "–"
    cells = (f"{asked:,}", f"{saved:,}", share, f"{failed:,}")
    return (
        f'<tr{kind}><th scope="row">{stage}</th>'
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )
