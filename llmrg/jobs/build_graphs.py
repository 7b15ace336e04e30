"""Build one verified reasoning graph per user; running it again resumes.

A folder of graphs holds

    manifest.json   what the graphs were built from; a job with other settings is refused
    train/          graphs of the training histories: the only ones training may read
    test/           the same graphs, grown by the items that became known before the test item
    summary.json    counts
    timing.json     seconds spent, over all runs

The knowledge base learns from `train/` alone; `test/` is built when it has learned all.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from llmrg.config import Job
from llmrg.errors import ConfigError, LLMError, Unavailable
from llmrg.graph_store import read_graphs
from llmrg.jobs.files import read_json, write_json
from llmrg.jobs.prepare import Prepared, Reasoners, make_reasoners, prepare
from llmrg.jobs.progress import Advance, progress
from llmrg.jobs.rounds import (
    BuiltUser,
    FailedUser,
    Outcome,
    Round,
    RoundFiles,
    count_files,
    plan_rounds,
    write_user,
)
from llmrg.knowledge.base import EVERYONE, KnowledgeBase, NoKnowledge
from llmrg.knowledge.improve import lessons_of
from llmrg.knowledge.store import KnowledgeStore, user_token
from llmrg.llm.prompts import load_prompt
from llmrg.reasoning.ask import Asker
from llmrg.reasoning.build import Builder, ReasoningSettings
from llmrg.reasoning.ground import Grounder
from llmrg.text import HashingEncoder
from llmrg.types import ReasoningGraph, UserHistory

FORMAT_VERSION = 1
TITLE_VECTOR_SIZE = 512
STAGES = ("chain", "extend", "verify", "score")

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class GraphSummary:
    """What a finished job counted.

    Attributes:
        users: graphs that were built.
        failed: users whose graph could not be built; the same command tries them again.
        tally: counts over all users, training and test: "chain.asked", "verify.rejected", …
    """

    users: int
    failed: tuple[FailedUser, ...]
    tally: Counter[str]
    reasoner: str


def build_graphs(job: Job, *, limit: int | None = None) -> GraphSummary:
    """Run or resume a job.

    Args:
        limit: build only the first so many users, in a folder of their own.

    Raises:
        ConfigError: if the folder holds graphs built from something else.
        Unavailable: if nobody in a round could be answered; running again resumes.
    """
    return asyncio.run(_Build.of(job, prepare(job), limit).run())


def graphs_folder(job: Job, limit: int | None = None) -> Path:
    """Where a job's graphs are; a limited job is a rehearsal and has a folder of its own."""
    path = job.graphs.path
    return path if limit is None else path.with_name(f"{path.name}-first-{limit}")


@dataclass
class _Build:
    """Everything a running job holds."""

    job: Job
    prepared: Prepared
    folder: Path
    users: int
    reasoners: Reasoners
    knowledge: KnowledgeBase
    ground: Grounder
    scopes: list[str]

    @classmethod
    def of(cls, job: Job, prepared: Prepared, limit: int | None) -> _Build:
        reasoners = make_reasoners(job, prepared)
        encoder = HashingEncoder(TITLE_VECTOR_SIZE)
        catalog = prepared.dataset.catalog
        cut = prepared.split.cut()
        known = len(prepared.split.train)
        return cls(
            job=job,
            prepared=prepared,
            folder=graphs_folder(job, limit),
            users=known if limit is None else min(limit, known),
            reasoners=reasoners,
            knowledge=KnowledgeStore(job.knowledge.url) if job.knowledge.enabled else NoKnowledge(),
            ground=Grounder(catalog, encoder, floor=job.extend.floor),
            scopes=[f"{llm.name}|{cut}" for llm in reasoners.llms],
        )

    async def run(self) -> GraphSummary:
        started = time.monotonic()
        try:
            self._check_manifest()
            rounds = plan_rounds(self.users, self.job.reasoning.round_size)
            with progress("reasoning", self.users, unit="users") as advance:
                for each in rounds:
                    await self._train_round(each, advance)
            with progress("test-time graphs", self.users, unit="users") as advance:
                for each in rounds:
                    await self._test_round(each, advance)
            return self._summarize()
        finally:
            self._add_seconds(time.monotonic() - started)
            self.knowledge.close()

    def _add_seconds(self, seconds: float) -> None:
        """Keep the time spent so far beside the graphs; it alone differs from run to run."""
        path = self.folder / "timing.json"
        before = read_json(path, made_by="llmrg run")["seconds"] if path.is_file() else 0.0
        write_json(path, {"seconds": round(before + seconds, 3)})

    async def _train_round(self, each: Round, advance: Advance) -> None:
        files = RoundFiles(self.folder / TRAIN, each.name)
        built: list[BuiltUser] | None = None
        if not files.finished or files.counts()["failed"]:
            already = {user.row: user for user in files.read()} if files.finished else {}
            build = partial(self._build_user, before=each.start)
            built = await self._build_round(files, each, already, build, advance)
        else:
            advance(each.end - each.start)
        # The number of users is part of the name: a later run that builds those who failed
        # teaches the round again, and what was learned before is not counted twice.
        name = f"{each.name}:{len(files.counts()['users'])}"
        for fold, scope in enumerate(self.scopes):
            if self.knowledge.has_learned(scope, name):
                continue
            built = files.read() if built is None else built
            mine = [u for u in built if self.reasoners.fold_of_user[u.row] == fold]
            self.knowledge.learn(scope, name, _lessons(mine, scope))

    async def _test_round(self, each: Round, advance: Advance) -> None:
        files = RoundFiles(self.folder / TEST, each.name)
        if files.finished and not files.counts()["failed"]:
            advance(each.end - each.start)
            return
        trained = {
            user.row: user.graph for user in RoundFiles(self.folder / TRAIN, each.name).read()
        }
        build = partial(self._grow_user, trained=trained)
        await self._build_round(files, each, {}, build, advance, rows=trained)

    async def _build_round(
        self,
        files: RoundFiles,
        each: Round,
        already: dict[int, BuiltUser],
        build: Callable[[int], Awaitable[tuple[ReasoningGraph, Counter[str]]]],
        advance: Advance,
        rows: Iterable[int] | None = None,
    ) -> list[BuiltUser]:
        """Build who is missing in a round, a bounded number at a time, and write its shard."""
        done = already | files.read_partial()
        rows = range(each.start, each.end) if rows is None else rows
        gate = asyncio.Semaphore(self.job.llm.concurrency)
        with files.append() as partial_file:

            async def one(row: int) -> Outcome:
                async with gate:
                    user_id = str(self.prepared.split.train.user_ids[row])
                    try:
                        built = BuiltUser(row, *await build(row))
                    except LLMError as error:
                        return FailedUser(row, user_id, f"{type(error).__name__}: {error}")
                    write_user(partial_file, built)
                    advance()
                    return built

            outcomes = await asyncio.gather(*(one(row) for row in rows if row not in done))
        failed = [outcome for outcome in outcomes if isinstance(outcome, FailedUser)]
        done |= {o.row: o for o in outcomes if isinstance(o, BuiltUser)}
        if failed and not done:
            raise Unavailable(
                f"nobody in round {each.name} could be answered, so the job stops here; the first "
                f"reason was: {failed[0].error}. Run the same command again to resume"
            )
        built = [done[row] for row in sorted(done)]
        files.finish(built, failed)
        return built

    async def _build_user(self, row: int, *, before: int) -> tuple[ReasoningGraph, Counter[str]]:
        history = self.prepared.dataset.user_history(row, self.prepared.split.train)
        return await self._builder(row, before).build(history)

    async def _grow_user(
        self, row: int, *, trained: dict[int, ReasoningGraph]
    ) -> tuple[ReasoningGraph, Counter[str]]:
        graph = trained[row]
        return await self._builder(row, EVERYONE).grow(graph, self._test_history(row))

    def _builder(self, row: int, before: int) -> Builder:
        scope = self.scopes[self.reasoners.fold_of_user[row]]
        return Builder(
            asker=Asker(self.reasoners.of(row)),
            catalog=self.prepared.dataset.catalog,
            snapshot=self.knowledge.snapshot(scope, before=before),
            ground=self.ground,
            settings=reasoning_settings(self.job),
        )

    def _test_history(self, row: int) -> UserHistory:
        """What is known when the test item is asked for; users without a test keep their train."""
        known = int(self.prepared.split.train.lengths[row])
        case = self._test_rows.get(str(self.prepared.split.train.user_ids[row]))
        if case is not None:
            known = int(self.prepared.split.test.histories.lengths[case])
        return self.prepared.dataset.user_history(row).until(known)

    @property
    def _test_rows(self) -> dict[str, int]:
        if not hasattr(self, "_cached_test_rows"):
            users = self.prepared.split.test.histories.user_ids.tolist()
            self._cached_test_rows = {str(user): case for case, user in enumerate(users)}
        return self._cached_test_rows

    def _check_manifest(self) -> None:
        """Write what this folder is built from, or refuse to mix it with something else."""
        path = self.folder / "manifest.json"
        wanted = self._manifest()
        if not path.is_file():
            write_json(path, wanted)
            return
        found = read_json(path, made_by="llmrg run pipelines/build_graphs.toml")
        different = [key for key in wanted if found.get(key) != wanted[key]]
        if different:
            key = different[0]
            raise ConfigError(
                f"{self.folder} holds graphs built with another {key} "
                f"(there {found.get(key)!r}, now {wanted[key]!r}); set [graphs] path to another "
                "folder, or delete this one"
            )

    def _manifest(self) -> dict[str, Any]:
        job = self.job
        return {
            "format": FORMAT_VERSION,
            "data": self.prepared.dataset.name,
            "cut": self.prepared.split.cut(),
            "users": self.users,
            "reasoners": [llm.name for llm in self.reasoners.llms],
            "strategy": job.reasoning.strategy,
            "settings": {
                "max_length": job.data.max_length,
                **job.reasoning.model_dump(exclude={"strategy"}),
                **{f"verify.{k}": v for k, v in job.verify.model_dump().items()},
                **{f"extend.{k}": v for k, v in job.extend.model_dump().items()},
                "knowledge.enabled": job.knowledge.enabled,
            },
            "prompts": {stage: load_prompt(stage).digest[:16] for stage in STAGES},
        }

    def _summarize(self) -> GraphSummary:
        tally: Counter[str] = Counter()
        failed: list[FailedUser] = []
        users = 0
        for phase in (TRAIN, TEST):
            for counts in count_files(self.folder / phase):
                for user in counts["users"]:
                    tally.update(user["tally"])
                failed += [FailedUser(**user) for user in counts["failed"]]
                users += len(counts["users"]) if phase == TRAIN else 0
        summary = GraphSummary(users, tuple(failed), tally, self.reasoners.name)
        write_json(
            self.folder / "summary.json",
            {
                "users": users,
                "failed": [user.user_id for user in failed],
                "reasoner": summary.reasoner,
                "tally": dict(sorted(tally.items())),
            },
        )
        return summary


def _lessons(users: list[BuiltUser], scope: str) -> Iterable[Any]:
    for user in users:
        token = user_token(scope, user.graph.user_id)
        yield from lessons_of(user.graph, rank=user.row, token=token)


def reasoning_settings(job: Job) -> ReasoningSettings:
    """The part of a job that the main flow reads."""
    return ReasoningSettings(
        max_length=job.data.max_length,
        max_chains=job.reasoning.max_chains,
        max_links=job.reasoning.max_links,
        per_chain=job.extend.per_chain,
        threshold=job.verify.threshold,
    )


def load_graphs(folder: Path, phase: str) -> Iterable[ReasoningGraph]:
    """The graphs of a finished job: "train" or "test"."""
    return read_graphs(folder / phase)
