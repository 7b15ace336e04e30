"""The picture of one graph as rectangles, lines and texts, in pixels, before any markup."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Text:
    """One line of text; `y` is its baseline, `x` its middle."""

    x: float
    y: float
    words: str


@dataclass(frozen=True, slots=True)
class Box:
    """A step's node: `x`, `y` are its upper left corner."""

    step: int
    x: float
    y: float
    width: float
    height: float
    lines: tuple[Text, ...]
    is_hit: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """How a step follows its parent: corners of the line, the reason above it, the score below."""

    step: int
    points: tuple[tuple[float, float], ...]
    label: tuple[Text, ...]
    score: Text | None


@dataclass(frozen=True, slots=True)
class Picture:
    """All of it; `band` is the left and right end of the imagined columns, if there are any."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    edges: tuple[Edge, ...]
    headers: tuple[Text, ...]
    band: tuple[float, float] | None
