"""What a person sees of a training: a bar on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import multiprocessing
import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from llmrg.training.records import Epoch, History

BAR_SECONDS = 0.2
LINE_SECONDS = 30.0
SPEED_WINDOW = 600.0
"""Seconds the estimate of the time left looks back; it must span a few epochs."""


class Display:
    """Shows how a training goes, on the standard error unless told otherwise.

    A worker process writes plain lines even on a terminal: bars of several trainings at once would
    overwrite each other.

    Args:
        label: what is trained, such as "sasrec".
        epochs: most epochs it may take; the time left is for all of them.
    """

    def __init__(self, label: str, epochs: int, *, console: Console | None = None) -> None:
        self._label = label
        self._epochs = epochs
        self._console = console or Console(stderr=True)
        self._started = self._shown = time.monotonic()
        self._bar: Progress | None = None
        if self._console.is_terminal and multiprocessing.parent_process() is None:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.fields[figures]}"),
                TimeRemainingColumn(),
                console=self._console,
                speed_estimate_period=SPEED_WINDOW,
            )
            self._task = self._bar.add_task(label, total=epochs, figures="")

    def __enter__(self) -> Display:
        if self._bar is not None:
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def due(self) -> bool:
        """Whether it is time to show something again; figures may be costly to get before."""
        wait = LINE_SECONDS if self._bar is None else BAR_SECONDS
        return time.monotonic() - self._shown >= wait

    def show(self, history: History, epoch: Epoch) -> None:
        """Show the figures of an epoch under way, or of one just finished.

        A bar always follows; a plain line is only written when it is due.
        """
        if self._bar is None and not self.due():
            return
        self._shown = time.monotonic()
        best = history.best_metric
        figures = f"loss {epoch.loss:.4f}"
        if best is not None:
            figures += f", best {best:.4f} (epoch {history.best_epoch})"
        figures += f", {epoch.targets_per_second:,.0f} targets/s"
        done = _epochs_done(history, epoch)
        if self._bar is not None:
            name = f"{self._label} {epoch.number}/{self._epochs}"
            self._bar.update(self._task, description=name, completed=done, figures=figures)
            return
        left = (self._shown - self._started) * (self._epochs - done) / done if done else 0.0
        self._console.print(
            f"{self._label}: epoch {epoch.number}/{self._epochs}, {figures}"
            + (f", at most {left / 60:.0f} min left" if done else ""),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )


def _epochs_done(history: History, epoch: Epoch) -> float:
    """Finished epochs and the share of this one, judged by the targets of the one before."""
    finished = len(history.epochs)
    if finished >= epoch.number:
        return finished
    if not finished:
        return 0.0
    return finished + min(epoch.targets / history.epochs[-1].targets, 1.0)
