"""The report as figures: Markdown, JSON, and what the types say about them."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from evaluation.made_up import HOSTILE, made_up_page

from llmrg.evaluation.report import (
    Comparison,
    Estimate,
    MetricRow,
    ReportPage,
    render_markdown,
    to_json,
    who_reasoned,
)


@pytest.fixture
def page() -> ReportPage:
    return ReportPage(
        title="Two systems",
        reasoner="catalog:1a2b",
        rows=(
            MetricRow(
                "sasrec",
                "alone",
                {"ndcg@10": Estimate(0.10344, 0.1, 0.107), "mrr@10": Estimate(0.09)},
            ),
            MetricRow("sasrec|graphs", "", {"ndcg@10": Estimate(0.10976, 0.1058, 0.11411)}),
        ),
        comparisons=(
            Comparison(
                "sasrec|graphs", "sasrec", "ndcg@10", Estimate(0.00632, 0.0021, 0.0107), 0.00341
            ),
        ),
        notes=("one * two",),
    )


def test_markdown_tables_hold_the_figures_with_4_decimals_and_escape_pipes(page):
    assert render_markdown(page) == (
        "## Two systems\n"
        "\n"
        f"{who_reasoned('catalog:1a2b')}\n"
        "\n"
        "| system | ndcg@10 | mrr@10 |\n"
        "| --- | ---: | ---: |\n"
        "| sasrec (alone) | 0.1034 [0.1000, 0.1070] | 0.0900 |\n"
        "| sasrec\\|graphs | **0.1098** [0.1058, 0.1141] | – |\n"
        "\n"
        "Best mean of each column in bold; in brackets the 95% interval.\n"
        "\n"
        "| system | against | metric | difference | p | reading |\n"
        "| --- | --- | --- | ---: | ---: | --- |\n"
        "| sasrec\\|graphs | sasrec | ndcg@10 | +0.0063 [+0.0021, +0.0107] | 0.0034 | higher |\n"
        "\n"
        "In brackets the 95% interval.\n"
        "\n"
        "- one \\* two\n"
    )


def test_hostile_names_cannot_break_out_of_a_markdown_table(page):
    rows = tuple(MetricRow(name, name, {name: Estimate(0.5)}) for name in HOSTILE)
    text = render_markdown(replace(page, rows=rows, comparisons=()))
    table = [line for line in text.splitlines() if line.startswith("|")]
    assert len(table) == 2 + len(rows)
    for line in table:
        assert line.replace("\\|", "").count("|") == len(HOSTILE) + 2
    assert "<script" not in text.replace("\\<", "")


def test_equal_printed_means_are_all_best_and_a_lone_figure_is_not():
    rows = (
        MetricRow("a", "", {"ndcg@10": Estimate(0.12341)}),
        MetricRow("b", "", {"ndcg@10": Estimate(0.12344)}),
        MetricRow("c", "", {"ndcg@10": Estimate(math.nan), "mrr@10": Estimate(0.5)}),
    )
    page = ReportPage("t", "", rows=rows)
    assert [page.is_best(row, "ndcg@10") for row in rows] == [True, True, False]
    assert not page.is_best(rows[2], "mrr@10")


@pytest.mark.parametrize(
    ("low", "high", "reading"),
    [
        (0.001, 0.002, "higher"),
        (-0.002, -0.001, "lower"),
        (-0.001, 0.001, "no clear difference"),
        (0.0, 0.002, "no clear difference"),
        (None, None, ""),
    ],
)
def test_a_difference_is_called_clear_only_if_its_interval_leaves_out_zero(low, high, reading):
    assert Comparison("a", "b", "m", Estimate(0.0, low, high), 0.5).reading == reading


@pytest.mark.parametrize(
    ("p", "printed"),
    [(0.00341, "0.0034"), (0.00009, "< 0.0001"), (1.0, "1.0000"), (0.0001, "0.0001")],
)
def test_a_p_value_is_never_printed_as_zero(p, printed):
    assert Comparison("a", "b", "m", Estimate(0.0), p).p_printed == printed


def test_the_catalogue_reasoner_is_never_taken_for_an_llm():
    assert "It is not an LLM" in who_reasoned("catalog:1a2b")
    assert who_reasoned("openai:gpt-x") == "The reasons were given and checked by openai:gpt-x."
    assert who_reasoned("") == "No reasoning graph was used."


def test_json_keeps_every_figure_unrounded_and_has_no_nan(page):
    values = to_json(
        replace(page, rows=(*page.rows, MetricRow("c", "", {"m": Estimate(math.nan)})))
    )
    text = json.dumps(values, allow_nan=False)
    assert json.loads(text) == values
    assert values["rows"][0]["metrics"]["ndcg@10"] == {"mean": 0.10344, "low": 0.1, "high": 0.107}
    assert values["rows"][2]["metrics"]["m"]["mean"] is None
    assert values["comparisons"][0]["p_value"] == 0.00341


def test_json_of_a_story_names_the_items_and_the_chains_behind_them():
    page = made_up_page()
    values = to_json(page)
    assert json.loads(json.dumps(values, allow_nan=False)) == values
    story, given = values["stories"][0], page.stories[0]
    assert story["target"] == given.target
    assert story["graph"]["steps"] == len(given.graph.steps)
    first = story["recommendations"][0]
    assert first["rank"] == 1
    assert first["title"] == given.title(given.recommendations[0].item_id)
    tip = given.recommendations[0].chains[0].tip
    assert first["chains"][0][-1] == {"text": tip.node.text, "reason": tip.reason}
    assert story["recommendations"][-1]["chains"] == []


def test_a_story_reads_its_history_from_the_observed_items_of_the_graph():
    story = made_up_page().stories[0]
    assert [node.key for node in story.history()] == [str(position) for position in range(14)]
