"""Views of a reasoning graph: nothing is lost, nothing overlaps, nothing outside gets through."""

from __future__ import annotations

import itertools
import subprocess
import sys
import unicodedata
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace
from functools import cache

import pytest
from evaluation.made_up import HOSTILE, made_up_graph
from matplotlib import font_manager

from llmrg.graph_views import to_networkx, to_svg, to_text
from llmrg.graph_views.drawing import MAX_CHAINS
from llmrg.graph_views.markup import clean, text_width, wrap
from llmrg.types import Node, ReasoningGraph, Step, UserId, Verdict

SVG = "{http://www.w3.org/2000/svg}"
FONT = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
BOLD = font_manager.get_font(font_manager.findfont("DejaVu Sans:bold"))


def item(key: str, text: str) -> Node:
    return Node("item", key, text)


def verdict(score: float, *, recalled: bool = False) -> Verdict:
    return Verdict(score, True, 31.0, "h", "Babe (1995)", "catalog:1a2b", "p", recalled)


TOY, ANTZ, BABE, SHREK = (
    item("1", "Toy Story (1995)"),
    item("2", "Antz (1998)"),
    item("3", "Babe (1995)"),
    item("4", "Shrek (2001)"),
)
COMEDY = Node("attribute", "genres=Comedy", "genres: Comedy")


@pytest.fixture
def graph() -> ReasoningGraph:
    """Toy Story → Comedy → Antz ⇢ Shrek, and Babe, which nothing links to."""
    steps = (
        Step(TOY, "", "observed", 0),
        Step(SHREK, "more of the same", "imagined", 0, 0, verdict(55.0)),
        Step(COMEDY, "", "observed", 1, 0),
        Step(ANTZ, "both are animated.", "observed", 1, 2, verdict(83.4)),
        Step(SHREK, "the same humor", "imagined", 1, 3, verdict(71.0, recalled=True)),
        Step(BABE, "", "observed", 2),
    )
    return ReasoningGraph(UserId("u1"), steps, 0, 3, "catalog:1a2b")


def test_equal_nodes_are_one_network_node_and_every_link_is_an_edge(graph):
    network = to_networkx(graph)
    assert set(network) == {(n.kind, n.key) for n in (TOY, ANTZ, BABE, SHREK, COMEDY)}
    assert network.number_of_edges() == 4
    assert network.nodes["item", "4"] == {
        "kind": "item",
        "key": "4",
        "text": "Shrek (2001)",
        "position": 0,
    }
    (edge,) = network.get_edge_data(("attribute", "genres=Comedy"), ("item", "2")).values()
    assert edge == {
        "reason": "both are animated.",
        "origin": "observed",
        "position": 1,
        "score": 83.4,
    }
    (unverified,) = network.get_edge_data(("item", "1"), ("attribute", "genres=Comedy")).values()
    assert unverified["score"] is None
    assert network.graph["user_id"] == "u1"


def test_a_link_made_twice_is_two_edges(graph):
    again = replace(graph, steps=(*graph.steps, replace(graph.steps[1], reason="again", parent=0)))
    edges = to_networkx(again).get_edge_data(("item", "1"), ("item", "4"))
    assert [edge["reason"] for edge in edges.values()] == ["more of the same", "again"]


def test_text_reads_as_chains_and_marks_what_was_imagined(graph):
    assert to_text(graph, last=None) == (
        "Toy Story (1995)\n"
        "  └─ → ‹genres: Comedy›\n"
        "      └─ because both are animated → Antz (1998)   [83]\n"
        "          └─ perhaps, because the same humor ⇢ Shrek (2001)   [71] imagined\n"
        "Babe (1995)"
    )


def test_text_of_the_last_items_says_where_chains_come_from_and_what_is_missing(graph):
    early = Step(item("9", "Heat (1995)"), "", "observed", 0)
    moved = [
        replace(
            step, position=step.position + 1, parent=step.parent + 1 if step.parent >= 0 else -1
        )
        for step in graph.steps
    ]
    longer = replace(graph, steps=(early, *moved), observed_until=4)
    assert to_text(longer, last=2).splitlines() == [
        "Toy Story (1995)",
        "  └─ → ‹genres: Comedy›",
        "      └─ because both are animated → Antz (1998)   [83]",
        "          └─ perhaps, because the same humor ⇢ Shrek (2001)   [71] imagined",
        "Babe (1995)",
        "(1 older chain not shown)",
    ]


def test_text_branches_are_drawn_as_a_tree():
    steps = (
        Step(TOY, "", "observed", 0),
        Step(ANTZ, "because it is animated", "observed", 1, 0),
        Step(SHREK, "", "observed", 2, 1),
        Step(BABE, "", "observed", 3, 0),
    )
    text = to_text(ReasoningGraph(UserId("u"), steps, 0, 4, "r"), last=None)
    assert text.splitlines() == [
        "Toy Story (1995)",
        "  ├─ because it is animated → Antz (1998)",
        "  │   └─ → Shrek (2001)",
        "  └─ → Babe (1995)",
    ]


def test_a_terminal_never_gets_a_control_character():
    text = to_text(made_up_graph(20, titles=HOSTILE, reasons=HOSTILE), last=None)
    assert all(unicodedata.category(c) not in {"Cc", "Cs"} for c in text.replace("\n", ""))


def test_empty_graphs_say_so_in_every_view():
    empty = ReasoningGraph(UserId("u"), (), 0, 0, "r")
    assert to_networkx(empty).number_of_nodes() == 0
    assert to_text(empty, last=None) == "(this graph has no steps)"
    assert "This graph has no steps." in words(to_svg(empty))


def test_a_chain_longer_than_the_recursion_limit_can_be_shown():
    steps = tuple(
        Step(item(str(i), f"item {i}"), "next", "observed", i, i - 1, None) for i in range(3000)
    )
    graph = ReasoningGraph(UserId("u"), steps, 0, 3000, "r")
    assert to_text(graph, last=None).count("\n") == 2999
    assert "item 2999" in words(to_svg(graph, last_items=3000))


# --- the picture -------------------------------------------------------------------------------


@dataclass(frozen=True)
class Rectangle:
    what: str
    left: float
    top: float
    right: float
    bottom: float

    def overlaps(self, other: Rectangle) -> bool:
        return (
            min(self.right, other.right) - max(self.left, other.left) > 0.05
            and min(self.bottom, other.bottom) - max(self.top, other.top) > 0.05
        )

    def holds(self, other: Rectangle) -> bool:
        return (
            self.left <= other.left
            and other.right <= self.right
            and self.top <= other.top
            and other.bottom <= self.bottom
        )


def words(svg: str) -> list[str]:
    return [text.text or "" for text in ET.fromstring(svg).iter(f"{SVG}text")]


def measured(text: str, size: float, *, bold: bool) -> float:
    """Width in real DejaVu Sans, one of the widest system fonts; CJK glyphs fill their em."""
    font = BOLD if bold else FONT
    total = 0.0
    for character in text:
        if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
            continue
        if font.get_char_index(ord(character)):
            font.set_size(size, 72)
            total += font.load_char(ord(character)).linearHoriAdvance / 65536
        else:
            total += size
    return total


def line_box(
    text: ET.Element, size: float, *, start: bool = False, bold: bool = False
) -> Rectangle:
    content = text.text or ""
    width = measured(content, size, bold=bold)
    x, y = float(text.attrib["x"]), float(text.attrib["y"])
    left = x if start else x - width / 2
    return Rectangle(content, left, y - 0.76 * size, left + width, y + 0.24 * size)


def rectangles(svg: str) -> list[Rectangle]:
    """Every box and every line of text outside boxes; checks that box texts stay inside."""
    found = []
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        kinds = group.get("class", "").split()
        if "rg-item" in kinds or "rg-pill" in kinds:
            rect = group.find(f"{SVG}rect")
            assert rect is not None
            x, y, width, height = (float(rect.attrib[k]) for k in ("x", "y", "width", "height"))
            box = Rectangle(group.findtext(f"{SVG}title") or "", x, y, x + width, y + height)
            size = 12 if "rg-item" in kinds else 10.5
            for text in group.findall(f"{SVG}text"):
                assert box.holds(line_box(text, size, bold="rg-hit" in kinds)), text.text
            found.append(box)
        elif "rg-label" in kinds:
            found.extend(line_box(text, 10.5) for text in group.findall(f"{SVG}text"))
    for text in ET.fromstring(svg).iter(f"{SVG}text"):
        kind = text.get("class")
        # The number in the legend stands in a moved group; it is a sample, not a score.
        if kind == "rg-score" and text.attrib["x"] != "13":
            found.append(line_box(text, 10))
        elif kind == "rg-header":
            found.append(line_box(text, 10.5))
        elif kind == "rg-note":
            found.append(line_box(text, 11, start=True))
    return found


@cache
def pictures() -> dict[str, str]:
    hits = {"103", "107", "5", "12"}
    one = made_up_graph(1)
    odd = (
        Step(COMEDY, "", "observed", 0),
        Step(TOY, "likes comedies", "observed", 0, 0, verdict(100)),
        Step(COMEDY, "it is one", "observed", 0, 1, verdict(99)),
        Step(COMEDY, "", "observed", 1, 2),
        Step(Node("profile", "age=7", "age: 7"), "", "observed", 1, 3),
        Step(ANTZ, "for a seven-year-old who loves all of these", "observed", 1, 4, verdict(61)),
        Step(BABE, "", "observed", 1, 3, verdict(60)),
        Step(COMEDY, "", "imagined", 1, 5),
        Step(COMEDY, "", "imagined", 1, 7),
        Step(SHREK, "more of it", "imagined", 1, 8, verdict(70)),
        Step(TOY, "and once more", "imagined", 1, 9, verdict(70)),
        Step(Node("concept", "c", "nostalgia"), "", "imagined", 1, 7),
    )
    return {
        "usual": to_svg(made_up_graph(16), highlight=hits),
        "whole": to_svg(made_up_graph(16), last_items=16, highlight=hits),
        "one step": to_svg(replace(one, steps=one.steps[:1])),
        "many chains": to_svg(made_up_graph(80, linked=0.3), last_items=80, highlight=hits),
        "dense": to_svg(made_up_graph(40, seed=3, linked=1.0), last_items=30, highlight=hits),
        "hostile": to_svg(made_up_graph(16, titles=HOSTILE, reasons=HOSTILE), highlight=hits),
        "odd": to_svg(ReasoningGraph(UserId("u"), odd, 0, 2, "r")),
    }


@pytest.mark.parametrize("name", list(pictures()))
def test_no_two_boxes_or_labels_of_a_picture_overlap(name):
    svg = pictures()[name]
    root = ET.fromstring(svg)
    canvas = Rectangle("canvas", 0, 0, float(root.attrib["width"]), float(root.attrib["height"]))
    found = rectangles(svg)
    assert found
    for one, other in itertools.combinations(found, 2):
        assert not one.overlaps(other), (one, other)
    assert all(canvas.holds(one) for one in found)


@pytest.mark.parametrize("name", list(pictures()))
def test_no_edge_runs_through_a_box_or_a_label(name):
    svg = pictures()[name]
    found = rectangles(svg)
    for group in ET.fromstring(svg).iter(f"{SVG}g"):
        if "rg-edge" not in group.get("class", "").split() or group.find(f"{SVG}title") is None:
            continue
        path = group.find(f"{SVG}path")
        assert path is not None
        points = [
            tuple(map(float, point.split())) for point in path.attrib["d"].lstrip("M").split("L")
        ]
        for (x1, y1), (x2, y2) in itertools.pairwise(points):
            line = Rectangle(
                path.attrib["d"],
                min(x1, x2) + 0.2,
                min(y1, y2) - 0.1,
                max(x1, x2) - 0.2 if x1 != x2 else x1 + 0.3,
                max(y1, y2) + 0.1,
            )
            for box in found:
                assert not line.overlaps(box), (line, box)


def test_time_runs_from_left_to_right_and_ends_with_what_was_imagined(graph):
    headers = [
        (float(text.attrib["x"]), text.text)
        for text in ET.fromstring(to_svg(graph)).iter(f"{SVG}text")
        if text.get("class") == "rg-header"
    ]
    assert [name for _, name in sorted(headers)] == ["item 1", "item 2", "item 3", "imagined"]


def test_reasons_and_scores_stand_on_the_edges_and_in_full_in_their_titles(graph):
    svg = to_svg(graph)
    assert {"both are animated.", "the same humor", "83", "71"} <= set(words(svg))
    titles = [title.text for title in ET.fromstring(svg).iter(f"{SVG}title")]
    assert (
        "genres: Comedy → Antz (1998): both are animated. Verified: 83 of 100, by chance 31; "
        "asked for what was hidden, the reasoner said: Babe (1995)"
    ) in titles
    assert (
        "Antz (1998) → Shrek (2001): the same humor (imagined). Verified: 71 of 100, by chance "
        "31; asked for what was hidden, the reasoner said: Babe (1995) (recalled from the "
        "knowledge base)"
    ) in titles


def test_imagined_steps_of_continued_tips_are_not_drawn(graph):
    assert "more of the same" not in to_svg(graph)


def test_recommended_items_are_marked_in_word_and_color(graph):
    svg = to_svg(graph, highlight={"4"})
    marked = [g for g in ET.fromstring(svg).iter(f"{SVG}g") if "rg-hit" in g.get("class", "")]
    assert [g.findtext(f"{SVG}title") for g in marked if g.find(f"{SVG}title") is not None] == [
        "Shrek (2001)"
    ]
    assert "★ Shrek (2001)" in words(svg)
    assert "★" not in to_svg(graph)


def test_a_recommended_item_is_drawn_even_where_it_was_imagined_long_ago():
    steps = (
        Step(TOY, "", "observed", 0),
        Step(SHREK, "old thought", "imagined", 0, 0, verdict(80)),
        *(Step(item(f"x{i}", f"film {i}"), "", "observed", i) for i in range(1, 30)),
    )
    graph = ReasoningGraph(UserId("u"), steps, 0, 30, "r")
    assert "old thought" not in to_svg(graph, last_items=3)
    shown = words(to_svg(graph, last_items=3, highlight={"4"}))
    assert {"old thought", "Toy Story (1995)", "earlier"} <= set(shown)


def test_a_graph_of_60_chains_is_capped_and_says_so():
    steps = tuple(Step(item(str(i), f"film {i}"), "", "observed", i) for i in range(60))
    shown = " ".join(words(to_svg(ReasoningGraph(UserId("u"), steps, 0, 60, "r"), last_items=60)))
    assert f"Showing {MAX_CHAINS} of 60 chains." in shown
    assert "film 59" in shown
    assert "film 0 " not in shown


def test_the_note_names_the_items_left_out():
    shown = " ".join(words(to_svg(made_up_graph(16, linked=0.0), last_items=4)))
    assert "into the last 4 of 16 items" in shown


def test_hostile_text_stays_text_and_the_picture_valid_xml():
    svg = to_svg(made_up_graph(16, titles=HOSTILE, reasons=HOSTILE), highlight={"5"})
    tags = {element.tag.removeprefix(SVG) for element in ET.fromstring(svg).iter()}
    assert tags == {"svg", "style", "g", "rect", "path", "text", "title"}
    svg.encode("utf-8")
    assert "</script>" not in svg
    assert "&lt;/script&gt;" in svg


def test_the_picture_needs_nothing_from_outside():
    root = ET.fromstring(to_svg(made_up_graph()))
    for element in root.iter():
        assert not {"href", "src", "id"} & set(element.attrib)
        assert not any(name.startswith("on") for name in element.attrib)
    assert "url(" not in to_svg(made_up_graph())


def test_the_same_graph_gives_the_same_bytes():
    assert to_svg(made_up_graph(), highlight={"1", "2", "103"}) == to_svg(
        made_up_graph(), highlight={"103", "2", "1"}
    )


# --- text --------------------------------------------------------------------------------------


def test_cleaning_keeps_one_line_of_text_without_hidden_commands():
    assert clean("a\r\n b\x1b[31m\u202e c\ud800\u2028d ") == "a b [31m c d"
    assert clean("نص עברית 日本 👩\u200d👧") == "نص עברית 日本 👩\u200d👧"


def test_wrapped_lines_fit_and_the_last_one_shows_that_text_is_missing():
    assert wrap("the dark view of the future", size=10, width=80, lines=2) == [
        "the dark view",
        "of the future",
    ]
    lines = wrap("a hunted human against a machine " * 3, size=10, width=80, lines=2)
    assert len(lines) == 2
    assert lines[1].endswith("…")
    assert all(text_width(line, 10) <= 80 for line in lines)
    assert wrap(" \t ", size=10, width=80, lines=2) == []


@pytest.mark.parametrize("text", ["The quick brown fox jumps", "WAVE 0123456789", "(1963) — “x” +"])
def test_text_is_measured_from_above(text):
    assert measured(text, 12, bold=False) <= text_width(text, 12)


def test_importing_the_views_loads_neither_networkx_nor_matplotlib_nor_torch():
    code = (
        "import sys, llmrg.graph_views; "
        "print({'networkx', 'matplotlib', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
