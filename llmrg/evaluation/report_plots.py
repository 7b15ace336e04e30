"""Line plots for the report: matplotlib draws them, the page's own style colors them.

matplotlib writes fixed colors. Each color used here is a stand-in that is replaced by a CSS
variable afterwards, so that one picture serves light and dark screens. No outside text enters a
plot: names stand in the page, beside a swatch of the line's color.
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from llmrg.evaluation.report_types import Curve

NUM_COLORS = 8
_INK, _SOFT = "#010203", "#040506"
_LINES = tuple(f"#0708{number:02x}" for number in range(10, 10 + NUM_COLORS))
_VARIABLES = {
    _INK: "var(--ink)",
    _SOFT: "var(--rule)",
    **{color: f"var(--line-{number})" for number, color in enumerate(_LINES)},
}
_DASHES = ("solid", (0, (5, 2)), (0, (1.5, 1.5)))
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "llmrg",
    "font.size": 9,
    "font.family": "DejaVu Sans",
    "text.color": _INK,
    "axes.edgecolor": _SOFT,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "axes.formatter.useoffset": False,
    "axes.unicode_minus": True,
    "grid.color": _SOFT,
    "grid.linewidth": 0.5,
    "xtick.color": _SOFT,
    "ytick.color": _SOFT,
    "xtick.labelcolor": _INK,
    "ytick.labelcolor": _INK,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}

Unit = Literal["number", "count", "share"]


@dataclass(frozen=True, slots=True)
class Line:
    """A curve and the number of its color; curves of one system share a color."""

    curve: Curve
    color: int


def plot(
    lines: Sequence[Line], *, name: str, x_label: str, y_label: str, x: Unit, y: Unit = "number"
) -> str:
    """Draw lines as an inline `svg` element; empty text if they have no finite point.

    Args:
        name: unique on the page; every id inside the picture starts with it.
        x_label, y_label: our own words, without outside text.
        x, y: how ticks are written; "count" keeps them whole, "share" writes 0.3 as 30%.
    """
    import matplotlib
    from matplotlib.figure import Figure

    drawn = [(line, _finite(line.curve)) for line in lines]
    drawn = [(line, points) for line, points in drawn if points]
    if not drawn:
        return ""
    buffer = io.StringIO()
    # From the defaults on: a user's own matplotlibrc must not change the page.
    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(_STYLE)
        canvas = Figure(figsize=(4.4, 2.9), layout="constrained")
        axes = canvas.add_subplot()
        for line, points in drawn:
            axes.plot(
                [point[0] for point in points],
                [point[1] for point in points],
                color=_LINES[line.color % NUM_COLORS],
                linestyle=_DASHES[line.color // NUM_COLORS % len(_DASHES)],
                linewidth=1.5,
                marker="o" if len(points) == 1 else "",
                markersize=3.5,
            )
        axes.set_xlabel(x_label)
        axes.set_ylabel(y_label)
        _format(axes.xaxis, x)
        _format(axes.yaxis, y)
        nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
        canvas.savefig(buffer, format="svg", metadata=nothing)
    return _inline(buffer.getvalue(), name, f"{y_label} by {x_label}")


def _finite(curve: Curve) -> list[tuple[float, float]]:
    pairs = zip(curve.x, curve.y, strict=True)
    return [(x, y) for x, y in pairs if math.isfinite(x) and math.isfinite(y)]


def _format(axis: Any, unit: Unit) -> None:
    from matplotlib.ticker import MaxNLocator, PercentFormatter, StrMethodFormatter

    axis.set_major_locator(MaxNLocator(nbins=5, steps=[1, 2, 5, 10], integer=unit == "count"))
    if unit == "count":
        axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    elif unit == "share":
        axis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _inline(svg: str, name: str, label: str) -> str:
    """Cut the file down to its `svg` element and make it at home in the page."""
    svg = svg[svg.index("<svg") :].strip()
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg, flags=re.DOTALL)
    # matplotlib styles "*", which would reach the whole page; the page's style says it for plots.
    svg = re.sub(r"<style.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r"<!--.*?-->", "", svg, flags=re.DOTALL)
    view = re.search(r'viewBox="([^"]*)"', svg)
    assert view is not None, "matplotlib always writes a viewBox"
    head = f'<svg class="plot" role="img" aria-label="{label}" viewBox="{view[1]}">'
    svg = head + svg[svg.index(">") + 1 :]
    svg = re.sub(r'\bid="', f'id="{name}-', svg)
    svg = svg.replace("url(#", f"url(#{name}-").replace('xlink:href="#', f'href="#{name}-')
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, variable)
    return svg
