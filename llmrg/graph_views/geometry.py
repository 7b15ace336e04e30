"""Where everything in the picture of one graph goes, in pixels.

Text is measured from above (`markup.text_width`), columns and rows grow with what they hold, and
nothing is moved afterwards: that is why no two boxes or labels can overlap.
"""

from __future__ import annotations

from collections.abc import Collection

from llmrg.graph_views.excerpt import Excerpt
from llmrg.graph_views.markup import text_width, wrap
from llmrg.graph_views.picture import Box, Edge, Picture, Text
from llmrg.graph_views.placement import EARLIER, IMAGINED, Placement, place

MARGIN = 16.0
HEADER = 30.0
ROW_GAP = 16.0
TRUNK = 12.0  # from a box to where its edges branch off
AIR = 6.0  # from there to the edge label
ARROW = 16.0  # from an edge label to the box the edge leads to
GAP, GAP_WITH_SCORE = 28.0, 46.0
ITEM_TEXT, ITEM_LINE, ITEM_WIDTH, ITEM_LINES = 12.0, 15.5, 140.0, 3
PILL_TEXT, PILL_WIDTH, PILL_HEIGHT = 10.5, 134.0, 20.0
LABEL_TEXT, LABEL_LINE, LABEL_WIDTH, LABEL_LINES = 10.5, 13.0, 144.0, 3
SCORE_TEXT, SCORE_SPACE = 10.0, 15.0
HEADER_TEXT = 10.5


def draw(excerpt: Excerpt, highlight: Collection[str]) -> Picture:
    """Compute the picture of an excerpt with at least one step."""
    return _Drafting(excerpt, highlight).picture()


class _Drafting:
    def __init__(self, excerpt: Excerpt, highlight: Collection[str]) -> None:
        self.excerpt = excerpt
        self.placement: Placement = place(excerpt)
        self.hits = {
            index
            for index in excerpt.kept
            if excerpt.step(index).node.kind == "item" and excerpt.step(index).node.key in highlight
        }
        self.titles = {index: self._title(index) for index in excerpt.kept}
        self.sizes = {index: self._size(index) for index in excerpt.kept}
        self.labels = {index: self._label(index) for index in excerpt.kept}
        self.spans = {index: self._span(index) for index in excerpt.kept}
        self.left, self.right = self._columns()
        self.line_y, self.bottom = self._rows()

    def picture(self) -> Picture:
        kept, parent = self.excerpt.kept, self.excerpt.parent
        return Picture(
            width=self.right[-1] + MARGIN,
            height=self.bottom,
            boxes=tuple(self._box(index) for index in kept),
            edges=tuple(self._edge(index) for index in kept if parent(index) >= 0),
            headers=self._headers(),
            band=self._band(),
        )

    def _is_item(self, index: int) -> bool:
        return self.excerpt.step(index).node.kind == "item"

    def _title(self, index: int) -> list[str]:
        node = self.excerpt.step(index).node
        size, width, lines = PILL_TEXT, PILL_WIDTH - 18, 1
        if node.kind == "item":
            size, width, lines = ITEM_TEXT, ITEM_WIDTH - 20, ITEM_LINES
        words = node.text if node.text.strip() else node.key
        if index in self.hits:
            words = f"★ {words}"
        return wrap(words, size=size, width=width, lines=lines) or ["(no title)"]

    def _size(self, index: int) -> tuple[float, float]:
        if self._is_item(index):
            return ITEM_WIDTH, len(self.titles[index]) * ITEM_LINE + 12
        return text_width(self.titles[index][0], PILL_TEXT) + 18, PILL_HEIGHT

    def _label(self, index: int) -> list[str]:
        if self.excerpt.parent(index) < 0:
            return []
        reason = self.excerpt.step(index).reason
        return wrap(reason, size=LABEL_TEXT, width=LABEL_WIDTH, lines=LABEL_LINES)

    def _span(self, index: int) -> int:
        """First column whose gap the label may use: before silent pills that lead only here."""
        first = index
        while self.excerpt.parent(first) >= 0:
            pill = self.excerpt.parent(first)
            silent = not self._is_item(pill) and not self.labels[pill]
            leads_on = self.excerpt.children[pill] == [first] and self.excerpt.parent(pill) >= 0
            adjacent = self.placement.column[pill] == self.placement.column[first] - 1
            if not (silent and leads_on and adjacent):
                break
            first = pill
        return self.placement.column[first]

    def _columns(self) -> tuple[list[float], list[float]]:
        """Left and right end of every column: each as wide as its boxes, gaps as their labels."""
        count = len(self.placement.columns)
        widths, gaps = [44.0] * count, [GAP] * count
        for index, column in self.placement.column.items():
            widths[column] = max(widths[column], self.sizes[index][0])
            if self.excerpt.step(index).verdict:
                gaps[column] = GAP_WITH_SCORE
        # Labels over one gap first: they may already make room for those that span several.
        by_span = sorted(self.labels, key=lambda i: self.placement.column[i] - self.spans[i])
        for index in by_span:
            if lines := self.labels[index]:
                first, last = self.spans[index], self.placement.column[index]
                need = TRUNK + AIR + max(text_width(line, LABEL_TEXT) for line in lines) + ARROW
                have = sum(gaps[first : last + 1]) + sum(widths[first:last])
                gaps[last] += max(0.0, need - have)
        left, right = [], []
        x = MARGIN - gaps[0]
        for gap, width in zip(gaps, widths, strict=True):
            left.append(x + gap)
            x += gap + width
            right.append(x)
        return left, right

    def _rows(self) -> tuple[list[float], float]:
        """The y of every row's line and the lower end of the drawing."""
        count = max(self.placement.row.values()) + 1
        above, below = [PILL_HEIGHT / 2] * count, [PILL_HEIGHT / 2] * count
        for index, row in self.placement.row.items():
            half = self.sizes[index][1] / 2
            above[row] = max(above[row], half, self._label_height(index))
            below[row] = max(below[row], half, SCORE_SPACE)
        lines, y = [], MARGIN + HEADER
        for up, down in zip(above, below, strict=True):
            lines.append(y + up)
            y += up + down + ROW_GAP
        return lines, y - ROW_GAP + MARGIN

    def _lift(self, index: int) -> float:
        """How far a label stands above its line: over the pills, where it spans some."""
        spanning = self.spans[index] < self.placement.column[index]
        return PILL_HEIGHT / 2 + 5 if spanning else 6.0

    def _label_height(self, index: int) -> float:
        lines = len(self.labels[index])
        return lines * LABEL_LINE + self._lift(index) if lines else 0.0

    def _box(self, index: int) -> Box:
        width, height = self.sizes[index]
        x = self.left[self.placement.column[index]]
        y = self.line_y[self.placement.row[index]] - height / 2
        if self._is_item(index):
            baseline, step = y + 6 + ITEM_TEXT - 0.5, ITEM_LINE
        else:
            baseline, step = y + PILL_HEIGHT / 2 + 3.5, 0.0
        lines = tuple(
            Text(x + width / 2, baseline + number * step, words)
            for number, words in enumerate(self.titles[index])
        )
        return Box(index, x, y, width, height, lines, index in self.hits)

    def _edge(self, index: int) -> Edge:
        parent = self.excerpt.parent(index)
        column, from_column = self.placement.column[index], self.placement.column[parent]
        start = self.left[from_column] + self.sizes[parent][0]
        end, branch = self.left[column], self.right[from_column] + TRUNK
        y, from_y = self.line_y[self.placement.row[index]], self.line_y[self.placement.row[parent]]
        points: tuple[tuple[float, float], ...] = ((start, y), (end, y))
        if y != from_y:
            points = ((start, from_y), (branch, from_y), (branch, y), (end, y))
        middle = (self.right[self.spans[index] - 1] + TRUNK + AIR + end - ARROW) / 2
        top = y - self._lift(index) - (len(self.labels[index]) - 1) * LABEL_LINE
        label = tuple(
            Text(middle, top + number * LABEL_LINE, words)
            for number, words in enumerate(self.labels[index])
        )
        verdict = self.excerpt.step(index).verdict
        score = Text(end - ARROW, y + 12, f"{verdict.score:.0f}") if verdict else None
        return Edge(index, points, label, score)

    def _headers(self) -> tuple[Text, ...]:
        """One header per moment, over its items."""
        over: dict[tuple[int, int], int] = {}
        for number, (group, position, items, rank) in enumerate(self.placement.columns):
            moment = (group, position)
            if moment not in over or (items, rank) == (0, 0):
                over[moment] = number
        return tuple(
            Text((self.left[number] + self.right[number]) / 2, MARGIN + HEADER_TEXT, words)
            for moment, number in over.items()
            for words in [_header(moment)]
        )

    def _band(self) -> tuple[float, float] | None:
        imagined = [n for n, key in enumerate(self.placement.columns) if key[0] == IMAGINED]
        if not imagined:
            return None
        return self.left[imagined[0]] - ARROW / 2, self.right[-1] + MARGIN / 2


def _header(moment: tuple[int, int]) -> str:
    group, position = moment
    if group == EARLIER:
        return "earlier"
    return "imagined" if group == IMAGINED else f"item {position + 1}"
