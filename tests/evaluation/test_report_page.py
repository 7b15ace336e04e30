"""The HTML page: valid, self-contained, escaped, honest, and the same for the same input."""

from __future__ import annotations

import re
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise

import matplotlib
import pytest
from evaluation.made_up import HOSTILE, made_up_page, made_up_story

from llmrg.evaluation.report import (
    Comparison,
    Curve,
    Estimate,
    HitCurve,
    LearningCurves,
    MetricRow,
    ReportPage,
    StageCalls,
    render_html,
)

VOID = {"meta", "br", "hr", "img", "input", "link"}
NO_CHAIN = "no chain in this user's graph names this item: it comes from the sequence model"


class Parsed(HTMLParser):
    """Checks that tags balance; collects tags, attributes and text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.pieces: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes.extend((name, value or "") for name, value in attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open, f"</{tag}> closes nothing"
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] != "style":
            self.pieces.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.pieces).split())


def hostile_page() -> ReportPage:
    """Outside text in every field that takes text."""
    text = " ".join(HOSTILE)
    return ReportPage(
        title=text,
        reasoner=text,
        when=text,
        summary=HOSTILE,
        dataset=text,
        settings={name: name for name in HOSTILE},
        rows=tuple(MetricRow(name, name, {name: Estimate(0.5, 0.4, 0.6)}) for name in HOSTILE),
        comparisons=tuple(Comparison(name, name, name, Estimate(0.0), 0.5) for name in HOSTILE),
        learning=tuple(LearningCurves(name, 0, (1, 2), (2.0, 1.0), (0.1, 0.2)) for name in HOSTILE),
        hits=tuple(HitCurve(name, (0, 10), (0.0, 0.5)) for name in HOSTILE),
        curves=tuple(Curve(name, (0.0, 1.0), (1.0, 2.0)) for name in HOSTILE),
        calls=tuple(StageCalls(name, 1, 1, 0) for name in HOSTILE),
        stories=(made_up_story(0, titles=HOSTILE),),
        notes=HOSTILE,
        interval=text,
        headline=HOSTILE[0],
    )


@pytest.fixture(scope="module", params=["usual", "hostile", "empty"])
def page(request: pytest.FixtureRequest) -> str:
    pages = {"usual": made_up_page, "hostile": hostile_page, "empty": lambda: ReportPage("t", "")}
    return render_html(pages[request.param]())


@pytest.fixture(scope="module")
def usual() -> str:
    return render_html(made_up_page())


def first_article(page: str) -> str:
    return page[page.index("<article") : page.index("</article>") + len("</article>")]


def test_tags_balance_and_ids_are_unique(page):
    parsed = Parsed(page)
    ids = [value for name, value in parsed.attributes if name == "id"]
    assert len(ids) == len(set(ids))
    assert parsed.tags[:3] == ["html", "head", "meta"]


def test_the_page_loads_nothing_and_runs_nothing(page):
    parsed = Parsed(page)
    assert not {"script", "iframe", "object", "embed", "link", "img", "base", "form", "a"} & set(
        parsed.tags
    )
    for name, value in parsed.attributes:
        assert not name.startswith("on")
        if name in {"src", "href", "xlink:href"}:
            assert value.startswith("#")
    assert all(target.startswith("#") for target in re.findall(r"url\(\s*[\"']?(\S)", page))
    assert "@import" not in page


def test_the_content_security_policy_forbids_everything_but_its_own_style(page):
    policy = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"
    assert f'<meta http-equiv="Content-Security-Policy" content="{policy}">' in page
    assert page.index("Content-Security-Policy") < page.index("<style>")


def test_references_inside_plots_point_at_ids_of_the_same_page(usual):
    ids = set(re.findall(r'\bid="([^"]+)"', usual))
    used = set(re.findall(r'(?:href="|url\()#([^")]+)', usual))
    assert used
    assert used <= ids


def test_hostile_text_stays_text():
    page = render_html(hostile_page())
    page.encode("utf-8")
    assert "alert(1)" in Parsed(page).text
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f\u202e]", page)


def test_every_figure_appears_as_given_with_its_interval(usual):
    text = Parsed(usual).text
    for row in made_up_page().rows:
        for estimate in row.metrics.values():
            printed = f"{estimate.mean:.4f} [{estimate.low:.4f}, {estimate.high:.4f}]"
            assert printed in text
    assert "+0.0064 [+0.0021, +0.0107] 0.0034 higher" in text
    assert "+0.0007 [-0.0031, +0.0046] 0.7211 no clear difference" in text
    assert "-0.0822 [-0.0931, -0.0717] < 0.0001 lower" in text


def test_the_best_mean_of_each_column_is_marked_and_no_other(usual):
    best = made_up_page().rows[-1]
    marked = re.findall(r'<strong class="best">([^<]*)</strong>', usual)
    assert marked == [f"{estimate.mean:.4f}" for estimate in best.metrics.values()]


def test_the_drawn_intervals_keep_the_order_and_scale_of_the_figures():
    def row(name: str, mean: float, low: float, high: float) -> MetricRow:
        return MetricRow(name, "", {"ndcg@10": Estimate(mean, low, high)})

    page = render_html(ReportPage("t", "", rows=(row("a", 1, 0, 2), row("b", 3, 2, 4))))
    # The axis runs from 6 to 134 for 0 to 4, so one unit is 32 wide.
    assert re.findall(r'class="range" d="([^"]*)"', page) == ["M6.0 8H70.0", "M70.0 8H134.0"]
    assert re.findall(r'cx="([^"]*)"', page) == ["38.0", "102.0"]


def test_each_table_names_its_own_intervals():
    page = replace(made_up_page(), interval="over <a>", comparison_interval="over <b>")
    results, rest = render_html(page).split("<h2>Comparisons</h2>")
    comparisons = rest.partition("<h2>")[0]
    assert "(over &lt;a&gt;)" in results
    assert "(over &lt;b&gt;)" in comparisons
    assert "over &lt;a&gt;" not in comparisons


def test_the_hit_curve_says_what_it_is_the_share_of(usual):
    caption = "Share of history items that a link from the knowledge base explained"
    assert caption in Parsed(usual).text


def test_who_reasoned_is_stated_plainly(usual):
    assert "It is not an LLM" in Parsed(usual).text
    asked = render_html(replace(made_up_page(), reasoner="openai:gpt-x"))
    assert "The reasons were given and checked by openai:gpt-x." in Parsed(asked).text
    assert "not an LLM" not in Parsed(asked).text


def test_calls_are_summed_and_the_saved_share_is_of_all_questions():
    calls = (
        StageCalls("chain", 75, 25, 1),
        StageCalls("verify", 900, 0, 4),
        StageCalls("x", 0, 0, 0),
    )
    text = Parsed(render_html(ReportPage("t", "", calls=calls))).text
    assert "chain 75 25 25.0% 1" in text
    assert "x 0 0 – 0" in text
    assert "all 975 25 2.5% 5" in text


def test_a_story_shows_history_graph_ranks_scores_and_chains(usual):
    story = made_up_page().stories[0]
    article = first_article(usual)
    text = Parsed(article).text
    assert "User u0" in text
    assert "14 items in the graph; the last 8:" in text
    assert '<ol class="history" start="7">' in article
    assert article.count('<svg xmlns="http://www.w3.org/2000/svg" class="rg"') == 1
    for one in story.recommendations:
        assert f"{one.rank} {story.title(one.item_id)}" in text
        assert f"score {one.score:.3f}" in text
    chain = story.recommendations[0].chains[0]
    assert f"{chain.tip.reason} ⇢ {chain.tip.node.text} [{chain.tip.verdict.score:.0f}]" in text
    assert f"The user really took {story.title(story.target)} next: rank 2 above." in text
    assert text.count("taken next") == 1


def test_an_item_without_a_chain_says_that_the_graph_does_not_name_it(usual):
    article = first_article(usual)
    assert Parsed(article).text.count(NO_CHAIN) == 1
    story = made_up_story()
    bare = tuple(replace(one, chains=()) for one in story.recommendations)
    page = ReportPage("t", "", stories=(replace(story, recommendations=bare),))
    assert Parsed(render_html(page)).text.count(NO_CHAIN) == len(bare)


def test_a_missed_target_is_said_to_be_missed():
    story = replace(made_up_story(), target="17", recommendations=())
    text = Parsed(render_html(ReportPage("t", "", stories=(story,)))).text
    assert "Nothing was recommended. The user really took" in text
    story = replace(made_up_story(), target="17")
    text = Parsed(render_html(ReportPage("t", "", stories=(story,)))).text
    assert "next, which is not in this list." in text


def test_empty_sections_are_left_out():
    page = Parsed(render_html(ReportPage("t", "")))
    assert not {"section", "table", "h2", "svg"} & set(page.tags)
    assert "No reasoning graph was used." in page.text
    only = Parsed(render_html(ReportPage("t", "", notes=("a remark",))))
    assert only.tags.count("section") == 1


def test_curves_without_a_finite_point_draw_nothing():
    nan = float("nan")
    page = ReportPage(
        "t",
        "",
        learning=(LearningCurves("a", 0, (1, 2), (1.0, 0.5), (nan, nan)),),
        hits=(HitCurve("h", (), ()),),
    )
    text = render_html(page)
    assert text.count('class="plot"') == 1
    assert "Training loss by epoch" in text
    assert "Validation" not in text
    assert "knowledge base" not in text


def test_a_falling_loss_is_drawn_falling():
    page = ReportPage("t", "", learning=(LearningCurves("a", 0, (1, 2, 3), (3.0, 2.0, 1.0), ()),))
    svg = re.search(r'<svg class="plot".*?</svg>', render_html(page), re.DOTALL)
    assert svg is not None
    (line,) = [
        path.attrib["d"]
        for path in ET.fromstring(svg[0]).iter("path")
        if "stroke: var(--line-0)" in path.get("style", "")
    ]
    numbers = [float(number) for number in re.findall(r"[\d.]+", line)]
    points = list(zip(numbers[::2], numbers[1::2], strict=True))
    assert len(points) == 3
    for (x1, y1), (x2, y2) in pairwise(points):
        assert x1 < x2
        assert y1 < y2, "y grows downwards in SVG"


def test_plots_take_every_color_from_the_page(usual):
    for svg in re.findall(r'<svg class="plot".*?</svg>', usual, re.DOTALL):
        assert "var(--line-0)" in svg
        assert not re.search(r"#[0-9a-fA-F]{6}|<style", svg)


def test_the_same_page_gives_the_same_bytes_whatever_the_users_own_plot_style():
    first = render_html(made_up_page())
    with matplotlib.rc_context({"font.size": 30, "axes.grid": False, "svg.hashsalt": "other"}):
        assert render_html(made_up_page()) == first
        assert matplotlib.rcParams["font.size"] == 30


def test_importing_the_report_does_not_load_matplotlib_or_torch():
    code = (
        "import sys, llmrg.evaluation.report, llmrg.evaluation.report_page; "
        "print({'matplotlib', 'networkx', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
