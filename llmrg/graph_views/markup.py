"""Text from catalogues and language models, made safe to show and measured for drawing.

Titles and reasons come from outside. They may hold markup, control characters, terminal escapes
or marks that turn the reading direction of everything after them.
"""

from __future__ import annotations

import html
import unicodedata
from collections.abc import Iterator

_DIRECTION_MARKS = frozenset(
    "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
)
_NOT_TEXT = frozenset({"Cc", "Cs", "Cn", "Zl", "Zp"})
_EM_WIDTHS = {
    **dict.fromkeys("ijlI'", 0.31),
    **dict.fromkeys(".,:;|· ", 0.34),
    **dict.fromkeys('frt()[]{}!/\\-"`´', 0.48),
    **dict.fromkeys("cksvxyz", 0.6),
    **dict.fromkeys("abdeghnopqu0123456789?*^_<>$", 0.65),
    **dict.fromkeys("mwMWQO@%&#+=~…—→★", 1.0),
}
"""Upper bounds, in em, from DejaVu Sans: the widest of the common system fonts."""


def clean(text: str) -> str:
    """Return one line without control characters, lone surrogates or direction marks."""
    kept = (
        " " if unicodedata.category(c) in _NOT_TEXT else c
        for c in text
        if c not in _DIRECTION_MARKS
    )
    return " ".join("".join(kept).split())


def escape(text: str) -> str:
    """Clean a text and make it safe between tags and in quoted attributes of XML and HTML."""
    return html.escape(clean(text), quote=True)


def text_width(text: str, size: float) -> float:
    """Estimate from above how wide a line is, in the unit of `size`, the font size."""
    return sum(_em_width(character) for character in text) * size


def _em_width(character: str) -> float:
    known = _EM_WIDTHS.get(character)
    if known is not None:
        return known
    if unicodedata.category(character) in {"Mn", "Me", "Cf"}:
        return 0.0
    if unicodedata.east_asian_width(character) in {"W", "F"}:
        return 1.05
    return 0.8


def wrap(text: str, *, size: float, width: float, lines: int) -> list[str]:
    """Break a text into at most `lines` lines no wider than `width`; the rest becomes "…".

    Words are kept whole unless one alone is wider than a line. Empty text gives no lines.
    """
    rows: list[str] = []
    row = ""
    for piece in _pieces(clean(text), size, width):
        joined = f"{row} {piece}" if row else piece
        if row and text_width(joined, size) > width:
            rows.append(row)
            row = piece
        else:
            row = joined
    if row:
        rows.append(row)
    if len(rows) > lines:
        rows = [*rows[: lines - 1], _shorten(" ".join(rows[lines - 1 :]), size, width)]
    return rows


def _pieces(text: str, size: float, width: float) -> Iterator[str]:
    """Split at spaces, and inside words that do not fit into a line."""
    for word in text.split():
        piece = ""
        for character in word:
            if piece and text_width(piece + character, size) > width:
                yield piece
                piece = ""
            piece += character
        yield piece


def _shorten(row: str, size: float, width: float) -> str:
    while row and text_width(row + "…", size) > width:
        row = row[:-1]
    return row.rstrip() + "…"
