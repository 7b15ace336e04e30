"""One user's reasoning graph as a self-contained SVG: time from left to right, chains as rows."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from llmrg.graph_views.excerpt import Excerpt, take
from llmrg.graph_views.geometry import MARGIN, draw
from llmrg.graph_views.markup import clean, escape, wrap
from llmrg.graph_views.picture import Box, Edge, Picture, Text
from llmrg.types import ReasoningGraph, Step

MAX_CHAINS = 20
MIN_WIDTH = 310.0
LEGEND_TEXT, LEGEND_LINE, SAMPLE = 11.0, 19.0, 34.0

# Names start with "rg-" because the style of an inline SVG reaches the whole page around it.
STYLE = """
.rg{--rg-ink:#1f2328;--rg-soft:#59616b;--rg-line:#7a838e;--rg-box:#ffffff;--rg-rim:#aeb6bf;
--rg-pill:#edf0f3;--rg-imagined:#9a4a00;--rg-imagined-box:#fff8ef;--rg-band:#fbf3e8;
--rg-hit:#0a6b4b;--rg-hit-box:#e6f5ee;font-family:system-ui,sans-serif}
@media screen and (prefers-color-scheme:dark){
.rg{--rg-ink:#e7e9ec;--rg-soft:#a3abb5;--rg-line:#89929d;--rg-box:#22262c;--rg-rim:#565f6a;
--rg-pill:#323841;--rg-imagined:#f0a860;--rg-imagined-box:#2e261d;--rg-band:#241f1a;
--rg-hit:#63d3a6;--rg-hit-box:#173329}}
.rg text{fill:var(--rg-ink);font-size:12px;text-anchor:middle}
.rg .rg-box{fill:var(--rg-box);stroke:var(--rg-rim);stroke-width:1}
.rg .rg-line{fill:none;stroke:var(--rg-line);stroke-width:1.2;stroke-linejoin:round}
.rg .rg-head{fill:var(--rg-line)}
.rg .rg-band{fill:var(--rg-band)}
.rg .rg-label text{font-size:10.5px}
.rg text.rg-score{font-size:10px;fill:var(--rg-soft)}
.rg text.rg-header{font-size:10.5px;fill:var(--rg-soft)}
.rg text.rg-note{font-size:11px;fill:var(--rg-soft);text-anchor:start}
.rg .rg-pill .rg-box{fill:var(--rg-pill);stroke:none}
.rg .rg-pill text{font-size:10.5px}
.rg .rg-earlier .rg-box{fill:none;stroke:var(--rg-line);stroke-dasharray:1.5 2.5}
.rg .rg-earlier text{fill:var(--rg-soft)}
.rg .rg-imagined .rg-line{stroke:var(--rg-imagined);stroke-dasharray:5 3.5}
.rg .rg-imagined .rg-head{fill:var(--rg-imagined)}
.rg .rg-imagined .rg-label text{fill:var(--rg-imagined)}
.rg .rg-imagined .rg-box{fill:var(--rg-imagined-box);stroke:var(--rg-imagined);
stroke-width:1;stroke-dasharray:5 3.5}
.rg .rg-hit .rg-box{fill:var(--rg-hit-box);stroke:var(--rg-hit);stroke-width:2}
.rg .rg-hit text{fill:var(--rg-hit);font-weight:600}
"""


def to_svg(graph: ReasoningGraph, *, last_items: int = 12, highlight: Collection[str] = ()) -> str:
    """Draw the graph as it stands after its newest item.

    Columns are moments of the history, oldest first, then what was imagined. The full reason and
    what its verification found appear when the pointer rests on an edge or a box.

    Args:
        last_items: how many of the newest history items to draw.
        highlight: item_ids to mark, such as the recommended ones.

    Returns:
        An `svg` element: valid XML, without links, scripts or ids, with colors for light and dark
        screens. At most `MAX_CHAINS` chains are drawn, and the picture says what it leaves out.
    """
    excerpt = take(graph, last_items=last_items, max_chains=MAX_CHAINS, highlight=highlight)
    if not excerpt.kept:
        picture = Picture(MIN_WIDTH, MARGIN, (), (), (), None)
    else:
        picture = draw(excerpt, highlight)
    width = max(picture.width, MIN_WIDTH)
    footer, height = _footer(excerpt, picture, width, last_items)
    label = escape(f"Reasoning graph of user {graph.user_id}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" class="rg" role="img" aria-label="{label}" '
        f'width="{width:.0f}" height="{height:.0f}" viewBox="0 0 {width:.0f} {height:.0f}">',
        f"<style>{STYLE}</style>",
        *_band(picture),
        *(_edge(excerpt, edge) for edge in picture.edges),
        *(_box(excerpt, box) for box in picture.boxes),
        *(_text(header, "rg-header") for header in picture.headers),
        *footer,
        "</svg>",
    ]
    return "\n".join(parts)


def _band(picture: Picture) -> Iterator[str]:
    if picture.band:
        left, right = picture.band
        yield (
            f'<rect class="rg-band" x="{left:.1f}" y="4" width="{right - left:.1f}" '
            f'height="{picture.height - 8:.1f}" rx="8"/>'
        )


def _text(text: Text, kind: str = "") -> str:
    kind = f' class="{kind}"' if kind else ""
    return f'<text{kind} x="{text.x:.1f}" y="{text.y:.1f}">{escape(text.words)}</text>'


def _box(excerpt: Excerpt, box: Box) -> str:
    step = excerpt.step(box.step)
    kinds = ["rg-item" if step.node.kind == "item" else "rg-pill"]
    if box.step in excerpt.earlier:
        kinds.append("rg-earlier")
    if step.origin == "imagined":
        kinds.append("rg-imagined")
    if box.is_hit:
        kinds.append("rg-hit")
    radius = 4 if step.node.kind == "item" else box.height / 2
    return (
        f'<g class="{" ".join(kinds)}"><title>{escape(step.node.text or step.node.key)}</title>'
        f'<rect class="rg-box" x="{box.x:.1f}" y="{box.y:.1f}" width="{box.width:.1f}" '
        f'height="{box.height:.1f}" rx="{radius:.0f}"/>'
        f"{''.join(_text(line) for line in box.lines)}</g>"
    )


def _edge(excerpt: Excerpt, edge: Edge) -> str:
    step = excerpt.step(edge.step)
    kind = "rg-edge rg-imagined" if step.origin == "imagined" else "rg-edge"
    path = "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in edge.points)
    end, y = edge.points[-1]
    label = "".join(_text(line) for line in edge.label)
    return (
        f'<g class="{kind}"><title>{escape(_told(excerpt, edge.step))}</title>'
        f'<path class="rg-line" d="{path}"/>'
        f'<path class="rg-head" d="M{end:.1f} {y:.1f}l-7 -3.5v7z"/>'
        + (f'<g class="rg-label">{label}</g>' if label else "")
        + (_text(edge.score, "rg-score") if edge.score else "")
        + "</g>"
    )


def _told(excerpt: Excerpt, index: int) -> str:
    """Everything known about how a step follows its parent, in words."""
    step: Step = excerpt.step(index)
    parent = excerpt.step(excerpt.parent(index))
    told = f"{parent.node.text} → {step.node.text}"
    if reason := clean(step.reason).rstrip("."):
        told += f": {reason}"
    if step.origin == "imagined":
        told += " (imagined)"
    if verdict := step.verdict:
        told += f". Verified: {verdict.score:.0f} of 100"
        if verdict.chance is not None:
            told += f", by chance {verdict.chance:.0f}"
        told += f"; asked for what was hidden, the reasoner said: {verdict.answered}"
        if verdict.recalled:
            told += " (recalled from the knowledge base)"
    return told


def _footer(
    excerpt: Excerpt, picture: Picture, width: float, last_items: int
) -> tuple[list[str], float]:
    """Legend and note, and the height of everything.

    They stand at the lower right, under what was imagined: a wide picture is read from its newest
    end, and they fit the narrowest screen.
    """
    parts: list[str] = []
    x, y = width - MIN_WIDTH + MARGIN, picture.height + LEGEND_LINE
    for sample, words in _legend(excerpt, picture):
        parts.append(f'<g transform="translate({x:.1f} {y - 4:.1f})">{sample}</g>')
        parts.append(_text(Text(x + SAMPLE, y, words), "rg-note"))
        y += LEGEND_LINE
    note = _note(excerpt, last_items)
    for line in wrap(note, size=LEGEND_TEXT, width=MIN_WIDTH - 2 * MARGIN, lines=5):
        parts.append(_text(Text(x, y, line), "rg-note"))
        y += LEGEND_LINE
    return parts, y - LEGEND_LINE + MARGIN


def _legend(excerpt: Excerpt, picture: Picture) -> Iterator[tuple[str, str]]:
    line = '<g class="{}"><path class="rg-line" d="M0 0H20"/>'
    line += '<path class="rg-head" d="M26 0l-7 -3.5v7z"/></g>'
    steps = [excerpt.step(edge.step) for edge in picture.edges]
    if any(step.origin == "observed" for step in steps):
        yield line.format("rg-edge"), "what really followed, and why"
    if any(step.origin == "imagined" for step in steps):
        yield line.format("rg-imagined"), "imagined to follow"
    if any(box.is_hit for box in picture.boxes):
        rect = '<rect class="rg-box" x="2" y="-6" width="22" height="12" rx="3"/>'
        yield f'<g class="rg-hit">{rect}</g>', "★ recommended"
    if any(step.verdict for step in steps):
        number = '<text class="rg-score" x="13" y="4">83</text>'
        yield number, "how well a link held up, 0 to 100"


def _note(excerpt: Excerpt, last_items: int) -> str:
    if not excerpt.graph.steps:
        return "This graph has no steps."
    shown, total = excerpt.chains, excerpt.chains_in_graph
    chains = "chain" if total == 1 else "chains"
    items = f"the last {last_items} of {excerpt.graph.observed_until} items"
    if not shown:
        return f"Showing 0 of {total} {chains}: none reaches into {items}."
    note = f"Showing {shown} of {total} {chains}"
    if last_items < excerpt.graph.observed_until:
        note += f", as far as they reach into {items}"
    if excerpt.earlier:
        note += "; dotted boxes say which earlier item they come from"
    return note + "."
