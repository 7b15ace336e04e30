"""The report as one HTML page: a frame, numbered sections and plots.

The page loads nothing and runs nothing; its content security policy says so to the browser.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files

from llmrg.evaluation.report_plots import NUM_COLORS, Line, plot
from llmrg.evaluation.report_stories import story_html
from llmrg.evaluation.report_tables import calls, comparisons, results
from llmrg.evaluation.report_types import Curve, LearningCurves, ReportPage, who_reasoned
from llmrg.graph_views.markup import escape

POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def render(page: ReportPage) -> str:
    """Return the whole page."""
    style = files("llmrg.evaluation").joinpath("static/report.css").read_text("utf-8")
    sections = [section for section in _sections(page) if section]
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en">',
            "<head>",
            '<meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{escape(page.title)}</title>",
            f"<style>\n{style}</style>",
            "</head>",
            "<body>",
            _header(page),
            "<main>",
            *sections,
            "</main>",
            "</body>",
            "</html>",
            "",
        ]
    )


def _header(page: ReportPage) -> str:
    when = f" · {escape(page.when)}" if page.when else ""
    return "\n".join(
        [
            "<header>",
            f'<p class="eyebrow">llmrg report{when}</p>',
            f"<h1>{escape(page.title)}</h1>",
            *(f'<p class="lede">{escape(line)}</p>' for line in page.summary),
            f'<p class="reasoner"><b>Who reasoned.</b> {escape(who_reasoned(page.reasoner))}</p>',
            "</header>",
        ]
    )


def _sections(page: ReportPage) -> Iterator[str]:
    yield _section("Results", results(page))
    yield _section("Comparisons", comparisons(page))
    yield _section("Learning", _learning(page.learning))
    yield _section("Reasoning and the knowledge base", calls(page) + _hits(page))
    yield _section("Curves", _curves(page.curves))
    heading = "One user’s story" if len(page.stories) == 1 else "Users’ stories"
    yield _section(heading, "\n".join(story_html(story) for story in page.stories))
    yield _section("Data and settings", _setup(page))
    notes = "".join(f"<li>{escape(note)}</li>" for note in page.notes)
    yield _section("Notes", f"<ul>{notes}</ul>" if notes else "")


def _section(heading: str, content: str) -> str:
    return f"<section>\n<h2>{heading}</h2>\n{content}\n</section>" if content else ""


def _learning(runs: tuple[LearningCurves, ...]) -> str:
    systems = list(dict.fromkeys(run.system for run in runs))
    color = {system: number for number, system in enumerate(systems)}
    panels = []
    for name, label in (("loss", "training loss"), ("valid", "validation ndcg@10")):
        lines = [
            Line(Curve("", tuple(map(float, run.epochs)), getattr(run, name)), color[run.system])
            for run in runs
            if getattr(run, name)
        ]
        picture = plot(lines, name=name, x_label="epoch", y_label=label, x="count")
        panels.append(_panel(picture, label.capitalize() + " by epoch"))
    seeds = len({run.seed for run in runs})
    words = f"One line per seed, {seeds} seeds." if seeds > 1 else ""
    return _panels(panels, systems, words)


def _hits(page: ReportPage) -> str:
    lines = [
        Line(Curve(hit.label, tuple(map(float, hit.steps)), hit.share), number)
        for number, hit in enumerate(page.hits)
    ]
    picture = plot(
        lines,
        name="hits",
        x_label="history items so far",
        y_label="explained by a known link",
        x="count",
        y="share",
    )
    caption = "Share of history items that a link from the knowledge base explained"
    return _panels([_panel(picture, caption)], [hit.label for hit in page.hits], "")


def _curves(curves: tuple[Curve, ...]) -> str:
    panels = []
    for number, curve in enumerate(curves):
        picture = plot([Line(curve, 0)], name=f"curve{number}", x_label="", y_label="", x="number")
        panels.append(_panel(picture, escape(curve.label)))
    return _panels(panels, [], "")


def _panel(picture: str, caption: str) -> str:
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>" if picture else ""


def _panels(panels: list[str], names: list[str], words: str) -> str:
    """Plots side by side and one legend for all of them."""
    if not any(panels):
        return ""
    swatches = "".join(
        f'<li><svg class="swatch" viewBox="0 0 24 8" aria-hidden="true"><path '
        f'class="line-{number % NUM_COLORS} dash-{number // NUM_COLORS % 3}" d="M1 4H23"/></svg>'
        f"{escape(name)}</li>"
        for number, name in enumerate(names)
    )
    legend = f'<ul class="legend">{swatches}</ul>' if swatches else ""
    words = f'<p class="small">{words}</p>' if words else ""
    return f'<div class="panels">{"".join(panels)}</div>{legend}{words}'


def _setup(page: ReportPage) -> str:
    dataset = f"<p>{escape(page.dataset)}</p>" if page.dataset else ""
    settings = "".join(
        f"<div><dt>{escape(name)}</dt><dd>{escape(value)}</dd></div>"
        for name, value in page.settings.items()
    )
    return dataset + (f'<dl class="settings">{settings}</dl>' if settings else "")
