"""What every stored graph must satisfy, checked on whole columns at once.

The same rules hold for a graph that is written, read, or parsed from JSON: a parent comes before
its children and is not attached later than they are, observed steps stand on observed steps, and
an imagined step was imagined from something. They make `until(n)` a filter that never orphans.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from llmrg.errors import GraphError
from llmrg.types import NodeKind, Origin

GRAPH_COLUMNS = ("user_id", "observed_from", "observed_until", "reasoner")
STEP_COLUMNS = ("parent", "kind", "key", "text", "reason", "origin", "position")
VERDICT_COLUMNS = ("accepted", "hidden", "answered", "verdict_reasoner", "prompt", "recalled")
NO_STEPS = -1
"""The value of `step` in the only row of a graph without steps."""

Bools = NDArray[np.bool_]


def numbers(table: pa.Table, column: str, null: int | float = -1) -> NDArray[Any]:
    """One column as a numpy array, with `null` where it is empty."""
    return np.asarray(table[column].fill_null(null).to_numpy())


def starts_of(table: pa.Table) -> NDArray[np.int64]:
    """Row at which each graph starts. Shape (G,)."""
    return np.flatnonzero(numbers(table, "step") <= 0)


def check_table(table: pa.Table, source: str) -> None:
    """Check a table of steps.

    Args:
        source: file or origin of the table; every message starts with it.

    Raises:
        GraphError: naming source, user and step of the first row that breaks a rule.
    """
    for column in (*GRAPH_COLUMNS, "step"):
        if table[column].null_count:
            raise GraphError(f"{source}: column {column!r} has empty cells; every row needs it")
    if len(table):
        checker = _Checker(table, source)
        checker.check_rows()
        checker.check_values()
        checker.check_links()
        checker.check_verdicts()


class _Checker:
    def __init__(self, table: pa.Table, source: str) -> None:
        self.table, self.source = table, source
        self.step = numbers(table, "step")
        self.parent = numbers(table, "parent")
        self.position = numbers(table, "position")
        starts = starts_of(table)
        # A first row that is no start would have no graph; check_rows refuses it.
        graph = np.maximum(np.cumsum(np.isin(np.arange(len(table)), starts)) - 1, 0)
        self.first = starts[graph] if len(starts) else np.zeros(len(table), dtype=np.int64)
        self.real = self.step != NO_STEPS

    def refuse(self, bad: Bools, problem: str, column: str) -> None:
        """Raise for the first bad row; `problem` may name {value}."""
        if not bad.any():
            return
        row = int(np.argmax(bad))
        value = self.table[column][row].as_py()
        user = self.table["user_id"][row].as_py()
        place = f"{self.source}: user {user!r}, step {self.step[row]}"
        raise GraphError(f"{place}: " + problem.format(value=repr(value)))

    def check_rows(self) -> None:
        """Each graph's rows lie together, numbered from 0, with the same graph columns."""
        begins = self.step <= 0
        expected = np.concatenate([[0], self.step[:-1] + 1])
        self.refuse(~begins & (self.step != expected), "step numbers must go 0, 1, 2, …", "step")
        self.refuse(self.step < NO_STEPS, "step number {value} is negative", "step")
        for column in GRAPH_COLUMNS:
            codes = np.asarray(
                self.table[column].combine_chunks().dictionary_encode().indices.to_numpy()
            )
            changed = ~begins & (codes != np.roll(codes, 1))
            self.refuse(changed, f"{column} {{value}} differs within one graph", column)

    def check_values(self) -> None:
        """No empty cells, only known kinds and origins, positions inside the graph's range."""
        for column in STEP_COLUMNS:
            empty = np.asarray(self.table[column].is_null().to_numpy())
            self.refuse(self.real & empty, f"{column} is missing", column)
        for column, allowed in (("kind", get_args(NodeKind)), ("origin", get_args(Origin))):
            known = pc.is_in(self.table[column], value_set=pa.array(allowed, pa.string()))
            problem = f"{column} {{value}} is not one of {', '.join(allowed)}"
            self.refuse(self.real & ~np.asarray(known.to_numpy()), problem, column)
        low, high = numbers(self.table, "observed_from"), numbers(self.table, "observed_until")
        self.refuse(low < 0, "observed_from {value} is negative", "observed_from")
        self.refuse(high < 0, "observed_until {value} is negative", "observed_until")
        outside = (self.position < low) | (self.position >= high)
        problem = "position {value} is outside observed_from .. observed_until - 1"
        self.refuse(self.real & outside, problem, "position")

    def check_links(self) -> None:
        """Parents come first, and an observed step never hangs on an imagined one."""
        bad = (self.parent < -1) | (self.parent >= self.step)
        self.refuse(self.real & bad, "parent {value} does not come before it", "parent")
        imagined = np.asarray(
            pc.equal(self.table["origin"], "imagined").fill_null(False).to_numpy()
        )
        child = self.parent >= 0
        self.refuse(imagined & ~child, "an imagined step needs a parent", "parent")
        above = np.where(child, self.first + self.parent, 0)
        orphan = child & ~imagined & imagined[above]
        self.refuse(orphan, "an observed step follows imagined step {value}", "parent")
        early = child & (self.position < self.position[above])
        self.refuse(early, "position {value} is before that of its parent", "position")

    def check_verdicts(self) -> None:
        """A verdict is complete or absent; scores and chance levels lie in 0 .. 100."""
        score = numbers(self.table, "score", np.nan)
        absent = np.asarray(self.table["score"].is_null().to_numpy())
        for column in VERDICT_COLUMNS:
            empty = np.asarray(self.table[column].is_null().to_numpy())
            self.refuse(empty != absent, f"score and {column} must come together", column)
        self.refuse(
            ~absent & ~((score >= 0) & (score <= 100)), "score {value} is not in 0 .. 100", "score"
        )
        chance = numbers(self.table, "chance", 0.0)
        unasked = absent & ~np.asarray(self.table["chance"].is_null().to_numpy())
        self.refuse(unasked, "chance {value} is given without a score", "chance")
        self.refuse(
            ~((chance >= 0) & (chance <= 100)), "chance {value} is not in 0 .. 100", "chance"
        )
