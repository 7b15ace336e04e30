"""Build one verified reasoning graph per user; running it again resumes.

What the folder of graphs holds is told in `graph_folder`. The knowledge base learns from the
training graphs alone; test-time graphs are grown when it has learned all there is to learn.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from llmrg.config import Job
from llmrg.errors import LLMError, Unavailable
from llmrg.jobs.graph_folder import (
    TEST,
    TRAIN,
    GraphSummary,
    add_seconds,
    check_manifest,
    describe_build,
    graphs_folder,
    summarize,
)
from llmrg.jobs.prepare import Prepared, Reasoners, make_reasoners, prepare
from llmrg.jobs.progress import Advance, progress
from llmrg.jobs.rounds import (
    BuiltUser,
    FailedUser,
    Outcome,
    Round,
    RoundFiles,
    plan_rounds,
    write_user,
)
from llmrg.knowledge.base import EVERYONE, KnowledgeBase, NoKnowledge
from llmrg.knowledge.improve import lessons_of
from llmrg.knowledge.store import KnowledgeStore, user_token
from llmrg.reasoning.ask import Asker
from llmrg.reasoning.build import Builder, ReasoningSettings
from llmrg.reasoning.ground import Grounder
from llmrg.text import HashingEncoder
from llmrg.types import ReasoningGraph, UserHistory

TITLE_VECTOR_SIZE = 512


def build_graphs(job: Job, *, limit: int | None = None) -> GraphSummary:
    """Run or resume a job.

    Args:
        limit: build only the first so many users, in a folder of their own.

    Raises:
        ConfigError: if the folder holds graphs built from something else.
        Unavailable: if nobody in a round could be answered; running again resumes.
    """
    return build_prepared(job, prepare(job), limit=limit)


def build_prepared(job: Job, prepared: Prepared, *, limit: int | None = None) -> GraphSummary:
    """Run or resume a job on data that is loaded already; raises what `build_graphs` does."""
    return asyncio.run(_Build.of(job, prepared, limit).run())


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
            check_manifest(self.folder, self._described())
            rounds = plan_rounds(self.users, self.job.reasoning.round_size)
            with progress("reasoning", self.users, unit="users") as advance:
                for each in rounds:
                    await self._train_round(each, advance)
            with progress("test-time graphs", self.users, unit="users") as advance:
                for each in rounds:
                    await self._test_round(each, advance)
            return summarize(self.folder, self.reasoners.name)
        finally:
            add_seconds(self.folder, time.monotonic() - started)
            self.knowledge.close()
            await self.reasoners.cleanup.aclose()

    def _described(self) -> dict[str, Any]:
        described: dict[str, Any] = describe_build(
            self.job,
            data=self.prepared.dataset.name,
            cut=self.prepared.split.cut(),
            users=self.users,
            reasoners=[llm.name for llm in self.reasoners.llms],
        )
        return described

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

    @cached_property
    def _test_rows(self) -> dict[str, int]:
        users = self.prepared.split.test.histories.user_ids.tolist()
        return {str(user): case for case, user in enumerate(users)}


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
