"""Rounds of users, and the files that let a killed job go on where it stopped.

Everybody in a round reads the same snapshot of the knowledge base; it learns between rounds. Rounds
start small and double, so that the knowledge base helps early, up to `round_size`. The plan
depends on the number of users alone.

While a round is under way, every finished user is a line of `NAME.partial.jsonl`; when all are done
they become one Parquet shard and one file of counts, and the partial file goes.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from llmrg.graph_store import from_json, read_graphs, to_json, write_shard
from llmrg.jobs.files import read_json, write_json
from llmrg.reasoning.ask import Tally
from llmrg.types import ReasoningGraph

FIRST_ROUND = 4


@dataclass(frozen=True, slots=True)
class Round:
    """Users in rows start..end - 1 of the training histories."""

    number: int
    start: int
    end: int

    @property
    def name(self) -> str:
        """Identifies the round, whatever `--limit` a job was given."""
        return f"users-{self.start:07d}-{self.end:07d}"


def plan_rounds(users: int, round_size: int) -> list[Round]:
    """Cut `users` rows into rounds that double in size up to `round_size`."""
    rounds: list[Round] = []
    start, size = 0, min(FIRST_ROUND, round_size)
    while start < users:
        end = min(start + size, users)
        rounds.append(Round(len(rounds), start, end))
        start, size = end, min(size * 2, round_size)
    return rounds


@dataclass(frozen=True)
class BuiltUser:
    """A finished graph and what happened while it was built."""

    row: int
    graph: ReasoningGraph
    tally: Tally


@dataclass(frozen=True)
class FailedUser:
    """A user whose graph could not be built, and why: kept, and tried again by the next run."""

    row: int
    user_id: str
    error: str


Outcome = BuiltUser | FailedUser


class RoundFiles:
    """The files of one round inside a folder of graphs."""

    def __init__(self, folder: Path, name: str) -> None:
        self.shard = folder / f"{name}.parquet"
        self._counts = folder / f"{name}.json"
        self._partial = folder / f"{name}.partial.jsonl"

    @property
    def finished(self) -> bool:
        """Whether the round's shard is complete."""
        return self.shard.is_file() and self._counts.is_file()

    def read_partial(self) -> dict[int, BuiltUser]:
        """Users finished before the job was stopped, by row; a line cut by the stop is dropped."""
        if not self._partial.is_file():
            return {}
        done: dict[int, BuiltUser] = {}
        whole = 0
        for line in self._partial.read_bytes().splitlines(keepends=True):
            try:
                record = json.loads(line)
            except ValueError:  # cut by the stop, perhaps inside a character
                break
            if not line.endswith(b"\n"):
                break
            whole += len(line)
            graph = from_json(json.dumps(record["graph"]))
            done[record["row"]] = BuiltUser(record["row"], graph, Counter(record["tally"]))
        os.truncate(self._partial, whole)  # or the next line would be glued to the cut one
        return done

    def append(self) -> IO[str]:
        """Open the partial file for `write_user`."""
        self._partial.parent.mkdir(parents=True, exist_ok=True)
        return self._partial.open("a", encoding="utf-8", newline="\n")

    def finish(self, users: list[BuiltUser], failed: list[FailedUser]) -> None:
        """Turn the round into its shard and its counts; the partial file is not needed then."""
        write_shard(self.shard, [user.graph for user in users])
        counts = {
            "users": [
                {"row": user.row, "tally": dict(sorted(user.tally.items()))} for user in users
            ],
            "failed": [
                {"row": user.row, "user_id": user.user_id, "error": user.error} for user in failed
            ],
        }
        write_json(self._counts, counts)
        self._partial.unlink(missing_ok=True)

    def read(self) -> list[BuiltUser]:
        """The finished users of a finished round, in the order of their rows."""
        counts = self.counts()["users"]
        graphs = read_graphs(self.shard) if counts else iter(())
        return [
            BuiltUser(count["row"], graph, Counter(count["tally"]))
            for count, graph in zip(counts, graphs, strict=True)
        ]

    def counts(self) -> Any:
        """What `finish` counted."""
        return read_json(self._counts, made_by="llmrg run pipelines/build_graphs.toml")


def write_user(file: IO[str], user: BuiltUser) -> None:
    """Append a finished user; a kill of this process cannot take it back."""
    file.write(_line_of(user))
    file.flush()


def _line_of(user: BuiltUser) -> str:
    graph = json.loads(to_json(user.graph))
    record = {"row": user.row, "graph": graph, "tally": dict(sorted(user.tally.items()))}
    return json.dumps(record) + "\n"


def count_files(folder: Path) -> Iterator[Any]:
    """The counts of all finished rounds in a folder, in order."""
    for path in sorted(folder.glob("*.json")):
        yield read_json(path, made_by="llmrg run pipelines/build_graphs.toml")
