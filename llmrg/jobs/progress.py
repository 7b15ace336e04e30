"""Progress of a long job: a bar on a terminal, one plain line per 30 seconds elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

PLAIN_SECONDS = 30.0


class Advance(Protocol):
    """Report that `steps` more of the work are done."""

    def __call__(self, steps: int = 1, *, note: str = "") -> None: ...


@contextmanager
def progress(title: str, total: int, *, unit: str) -> Iterator[Advance]:
    """Show how far a job is; everything goes to standard error."""
    if sys.stderr.isatty():
        with _bar(title, total) as advance:
            yield advance
    else:
        yield _PlainLines(title, total, unit)


@contextmanager
def _bar(title: str, total: int) -> Iterator[Advance]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[note]}"),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total, note="")

        def advance(steps: int = 1, *, note: str = "") -> None:
            bar.update(task, advance=steps, note=note)

        yield advance


class _PlainLines:
    def __init__(self, title: str, total: int, unit: str) -> None:
        self._title, self._total, self._unit = title, total, unit
        self._done = 0
        self._started = self._said = time.monotonic()

    def __call__(self, steps: int = 1, *, note: str = "") -> None:
        self._done += steps
        now = time.monotonic()
        if now - self._said >= PLAIN_SECONDS:
            self._said = now
            rate = self._done / (now - self._started)
            left = (self._total - self._done) / rate if rate else float("inf")
            tell(
                f"{self._title}: {self._done}/{self._total} {self._unit}, "
                f"{now - self._started:.0f} s, about {left:.0f} s left{note and '; ' + note}"
            )


def tell(line: str) -> None:
    """Write one line for the person who waits; results go to standard output instead."""
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
