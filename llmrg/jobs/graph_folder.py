"""The folder a graph-building job writes: what it was built from, what was counted, and when.

manifest.json   what the graphs were built from; a job with other settings is refused
train/          graphs of the training histories: the only ones training may read
test/           the same graphs, grown by the items that became known before the test item
summary.json    counts
timing.json     seconds spent, over all runs: the only file that differs from run to run
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from llmrg import __version__
from llmrg.config import Job
from llmrg.errors import ConfigError
from llmrg.jobs.files import read_json, write_json
from llmrg.jobs.prepare import Prepared
from llmrg.jobs.rounds import FailedUser, count_files
from llmrg.reasoning.ask import Tally, question
from llmrg.reasoning.stages import REPLIES

FORMAT_VERSION = 1
TRAIN, TEST = "train", "test"
Build = dict[str, Any]
MADE_BY = "llmrg run pipelines/build_graphs.toml"


@dataclass(frozen=True)
class GraphSummary:
    """What a finished job counted.

    Attributes:
        users: graphs that were built.
        failed: users whose graph could not be built; the same command tries them again.
        tally: counts over all users, training and test: "chain.asked", "verify.rejected", …
        reasoner: who reasoned.
    """

    users: int
    failed: tuple[FailedUser, ...]
    tally: Tally
    reasoner: str


def graphs_folder(job: Job, limit: int | None = None) -> Path:
    """Where a job's graphs are; a limited job is a rehearsal and has a folder of its own."""
    path = job.graphs.path
    return path if limit is None else path.with_name(f"{path.name}-first-{limit}")


def describe_build(job: Job, prepared: Prepared, *, users: int, reasoners: list[str]) -> Build:
    """Everything that decides what the graphs of a job are: the content of manifest.json."""
    return {
        "format": FORMAT_VERSION,
        "llmrg": __version__,
        "data": prepared.dataset.name,
        "words": prepared.dataset.words(),
        "cut": prepared.split.cut(),
        "users": users,
        "reasoners": reasoners,
        "structured": job.llm.structured,
        "strategy": job.reasoning.strategy,
        "settings": {
            "max_length": job.data.max_length,
            **job.reasoning.model_dump(exclude={"strategy"}),
            **{f"verify.{key}": value for key, value in job.verify.model_dump().items()},
            **{f"extend.{key}": value for key, value in job.extend.model_dump().items()},
            "knowledge.enabled": job.knowledge.enabled,
        },
        "prompts": {stage: question(stage).digest[:16] for stage in REPLIES},
    }


def scope_of(described: Build, reasoner: str) -> str:
    """The scope of links: who made them, what was known, and how they were asked and judged.

    Links of another threshold or other words are not recalled: a base that mixes them would make
    graphs depend on which jobs ran before.
    """
    how = {
        key: described[key] for key in ("words", "structured", "strategy", "settings", "prompts")
    }
    digest = hashlib.sha256(json.dumps(how, sort_keys=True).encode()).hexdigest()[:12]
    return f"{reasoner}|{described['cut']}|{digest}"


def check_manifest(folder: Path, wanted: Build) -> None:
    """Write what a folder is built from, or refuse to mix it with something else.

    Raises:
        ConfigError: naming what differs and the ways out.
    """
    path = folder / "manifest.json"
    if not path.is_file():
        write_json(path, wanted)
        return
    found = read_json(path, made_by=MADE_BY)
    for key, value in wanted.items():
        if found.get(key) != value:
            raise ConfigError(
                f"{folder} holds graphs built with another {key} (there {found.get(key)!r}, now "
                f"{value!r}); set [graphs] path to another folder, or delete this one"
            )


def add_spent(folder: Path, *, seconds: float, tokens: Mapping[str, int]) -> None:
    """Add what this run spent on a folder to what was spent so far.

    Args:
        tokens: "input" and "output" tokens as the server counted them; replies from the ledger
            cost none.
    """
    path = folder / "timing.json"
    before = read_json(path, made_by=MADE_BY) if path.is_file() else {}
    known = before.get("tokens", {})
    write_json(
        path,
        {
            "seconds": round(before.get("seconds", 0.0) + seconds, 3),
            "tokens": {name: known.get(name, 0) + count for name, count in tokens.items()},
        },
    )


def summarize(folder: Path, reasoner: str) -> GraphSummary:
    """Add up the counts of all rounds and write summary.json."""
    tally: Tally = Counter()
    failed: list[FailedUser] = []
    users = 0
    for phase in (TRAIN, TEST):
        for counts in count_files(folder / phase):
            for user in counts["users"]:
                tally.update(user["tally"])
            failed += [FailedUser(**user) for user in counts["failed"]]
            users += len(counts["users"]) if phase == TRAIN else 0
    write_json(
        folder / "summary.json",
        {
            "users": users,
            "failed": [asdict(user) for user in failed],
            "reasoner": reasoner,
            "tally": dict(sorted(tally.items())),
        },
    )
    return GraphSummary(users, tuple(failed), tally, reasoner)
