"""Which column and row each step of a drawing takes: columns are moments, rows are chains.

A step that starts a new branch opens a new row below everything drawn so far. The rows between a
step and its branches therefore hold nothing but its own branches, so no edge crosses another.
"""

from __future__ import annotations

from dataclasses import dataclass

from llmrg.graph_views.excerpt import Excerpt

Column = tuple[int, int, int, int]
"""Sorts from left to right: (group, position, items before it in the group, place among pills).

Groups: -1 where chains come from, 0 the history by position, 1 what was imagined. The place is
0 for an item, negative for pills on the way to it, positive for pills behind it.
"""

EARLIER, OBSERVED, IMAGINED = -1, 0, 1


@dataclass(frozen=True)
class Placement:
    """Column and row of every kept step.

    Attributes:
        columns: all columns in use, from left to right.
        column: step index → index into `columns`.
        row: step index → row, from 0.
    """

    columns: tuple[Column, ...]
    column: dict[int, int]
    row: dict[int, int]


def place(excerpt: Excerpt) -> Placement:
    """Give every kept step its column and row."""
    keys = _column_keys(excerpt)
    columns = tuple(sorted(set(keys.values())))
    number = {key: index for index, key in enumerate(columns)}
    return Placement(columns, {step: number[key] for step, key in keys.items()}, _rows(excerpt))


def _column_keys(excerpt: Excerpt) -> dict[int, Column]:
    ahead = _pills_ahead(excerpt)
    keys: dict[int, Column] = {}
    for index in excerpt.kept:
        group, position = _moment(excerpt, index)
        parent = keys.get(excerpt.parent(index))
        if parent is None or parent[:2] != (group, position):
            items, place = 0, -ahead[index]
        elif ahead[index]:
            items, place = parent[2] + (parent[3] >= 0), -ahead[index]
        elif excerpt.step(index).node.kind == "item":
            items, place = parent[2] + (parent[3] >= 0), 0
        else:
            items, place = parent[2], max(parent[3], 0) + 1
        keys[index] = (group, position, items, place)
    return keys


def _moment(excerpt: Excerpt, index: int) -> tuple[int, int]:
    step = excerpt.step(index)
    if index in excerpt.earlier:
        return EARLIER, 0
    return (IMAGINED, 0) if step.origin == "imagined" else (OBSERVED, step.position)


def _pills_ahead(excerpt: Excerpt) -> dict[int, int]:
    """For each pill, how many pills (itself included) lead to an item of the same moment.

    0 for items, and for pills that no item of their moment follows.
    """
    ahead: dict[int, int] = {}
    for index in reversed(excerpt.kept):
        ahead[index] = 0
        if excerpt.step(index).node.kind == "item":
            continue
        for child in excerpt.children[index]:
            same = _moment(excerpt, child) == _moment(excerpt, index)
            if same and (ahead[child] or excerpt.step(child).node.kind == "item"):
                ahead[index] = max(ahead[index], ahead[child] + 1)
    return ahead


def _rows(excerpt: Excerpt) -> dict[int, int]:
    row: dict[int, int] = {}
    next_row = 0
    for root in excerpt.children[-1]:
        stack = [root]
        while stack:
            index = stack.pop()
            siblings = excerpt.children[excerpt.parent(index)]
            follows_on = index != root and index == siblings[0]
            if follows_on:
                row[index] = row[excerpt.parent(index)]
            else:
                row[index] = next_row
                next_row += 1
            stack.extend(reversed(excerpt.children[index]))
    return row
