"""Build one verified reasoning graph per user; running it again resumes.

What the folder of graphs holds is told in `graph_folder`. The knowledge base learns from the
training graphs alone; test-time graphs are grown when it has learned all there is to learn.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from llmrg.config import Job
from llmrg.errors import LLMError, Refused, ReplyError, Unavailable
from llmrg.jobs.graph_folder import (
    TEST,
    TRAIN,
    Build,
    GraphSummary,
    add_spent,
    check_manifest,
    describe_build,
    graphs_folder,
    scope_of,
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
from llmrg.knowledge.base import KnowledgeBase, Lesson, NoKnowledge
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
    described: Build
    scopes: list[str]

    @classmethod
    def of(cls, job: Job, prepared: Prepared, limit: int | None) -> _Build:
        reasoners = make_reasoners(job, prepared)
        encoder = HashingEncoder(TITLE_VECTOR_SIZE)
        catalog = prepared.dataset.catalog
        known = len(prepared.split.train)
        users = known if limit is None else min(limit, known)
        names = [llm.name for llm in reasoners.llms]
        described = describe_build(job, prepared, users=users, reasoners=names)
        return cls(
            job=job,
            prepared=prepared,
            folder=graphs_folder(job, limit),
            users=users,
            reasoners=reasoners,
            knowledge=KnowledgeStore(job.knowledge.url) if job.knowledge.enabled else NoKnowledge(),
            ground=Grounder(catalog, encoder, floor=job.extend.floor),
            described=described,
            scopes=[scope_of(described, name) for name in names],
        )

    async def run(self) -> GraphSummary:
        started = time.monotonic()
        try:
            check_manifest(self.folder, self.described)
            rounds = plan_rounds(self.users, self.job.reasoning.round_size)
            with progress("reasoning", self.users, unit="users") as advance:
                for each in rounds:
                    await self._train_round(each, advance)
            with progress("test-time graphs", self.users, unit="users") as advance:
                for each in rounds:
                    await self._test_round(each, advance)
            return summarize(self.folder, self.reasoners.name)
        finally:
            seconds = time.monotonic() - started
            add_spent(self.folder, seconds=seconds, tokens=self.reasoners.tokens())
            self.knowledge.close()
            await self.reasoners.cleanup.aclose()

    async def _train_round(self, each: Round, advance: Advance) -> None:
        files = RoundFiles(self.folder / TRAIN, each.name)
        built: list[BuiltUser] | None = None
        if not files.finished or files.counts()["failed"]:
            already = {user.row: user for user in files.read()} if files.finished else {}
            build = partial(self._build_user, before=each.start)
            built = await self._build_round(files, each, already, build, advance)
        else:
            advance(each.end - each.start)
        name = f"{each.name}:{_digest_of_rows(files)}"
        for fold, scope in enumerate(self.scopes):
            if self.knowledge.has_learned(scope, name):
                continue
            built = files.read() if built is None else built
            mine = [u for u in built if self.reasoners.fold_of_user[u.row] == fold]
            self.knowledge.learn(scope, name, self._lessons(mine, scope))

    async def _test_round(self, each: Round, advance: Advance) -> None:
        files = RoundFiles(self.folder / TEST, each.name)
        train_files = RoundFiles(self.folder / TRAIN, each.name)
        if files.finished and _rows_of(files) == _rows_of(train_files):
            advance(each.end - each.start)
            return
        trained = {user.row: user.graph for user in train_files.read()}
        already = {user.row: user for user in files.read()} if files.finished else {}
        build = partial(self._grow_user, trained=trained)
        await self._build_round(files, each, already, build, advance, rows=trained)

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
                        if isinstance(error, Refused) and error.every_request:
                            raise
                        return FailedUser(row, user_id, f"{type(error).__name__}: {error}")
                    write_user(partial_file, built)
                    advance()
                    return built

            outcomes = await _all(one(row) for row in rows if row not in done)
        failed = [outcome for outcome in outcomes if isinstance(outcome, FailedUser)]
        done |= {o.row: o for o in outcomes if isinstance(o, BuiltUser)}
        _stop_if_hopeless(each, list(done.values()), failed)
        built = [done[row] for row in sorted(done)]
        files.finish(built, failed)
        return built

    async def _build_user(self, row: int, *, before: int) -> tuple[ReasoningGraph, Counter[str]]:
        history = self.prepared.dataset.user_history(row, self.prepared.split.train)
        return await self._builder(row, before).build(history)

    async def _grow_user(
        self, row: int, *, trained: dict[int, ReasoningGraph]
    ) -> tuple[ReasoningGraph, Counter[str]]:
        """Grow a training graph by what came since; afresh if that is more than a window holds."""
        graph, history = trained[row], self._test_history(row)
        builder = self._builder(row, self.users)
        if len(history.interactions) - graph.observed_until > self.job.data.max_length:
            return await builder.build(history)
        return await builder.grow(graph, history)

    def _builder(self, row: int, before: int) -> Builder:
        scope = self.scopes[self.reasoners.fold_of_user[row]]
        return Builder(
            asker=Asker(self.reasoners.of(row), self.job.llm.structured),
            catalog=self.prepared.dataset.catalog,
            snapshot=self.knowledge.snapshot(scope, before=before),
            ground=self.ground,
            settings=reasoning_settings(self.job),
        )

    def _lessons(self, users: list[BuiltUser], scope: str) -> Iterable[Lesson]:
        profiles = self.prepared.dataset.profiles
        for user in users:
            token = user_token(scope, user.graph.user_id)
            profile = profiles[user.row] if profiles else ()
            yield from lessons_of(user.graph, rank=user.row, token=token, profile=profile)

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


async def _all(work: Iterable[Coroutine[Any, Any, Outcome]]) -> list[Outcome]:
    """Await everything at once; if one raises, the others are stopped before it is raised on."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise


def _stop_if_hopeless(each: Round, built: list[BuiltUser], failed: list[FailedUser]) -> None:
    """Stop a job that gets nothing out of its reasoner, before it asks about everybody.

    Raises:
        Unavailable: if nobody in the round was built because the server could not be reached.
        ReplyError: if not one answer about the round's items could be used.
    """
    down = all(user.error.startswith(f"{Unavailable.__name__}:") for user in failed)
    if failed and not built and down:
        raise Unavailable(
            f"nobody in round {each.name} could be answered, so the job stops here; the first "
            f"reason was: {failed[0].error}. Run the same command again to resume"
        )
    asked = sum(user.tally["chain.asked"] for user in built)
    if asked and asked == sum(user.tally["chain.invalid"] for user in built):
        raise ReplyError(
            f"not one of {asked} answers in round {each.name} could be used; try another [llm] "
            "model or another way to ask for JSON, [llm] structured",
            text="",
        )


def _rows_of(files: RoundFiles) -> list[int]:
    """Rows of the users that a finished round built."""
    return [user["row"] for user in files.counts()["users"]]


def _digest_of_rows(files: RoundFiles) -> str:
    """Names who is in a round: a later run that builds those who failed teaches it again."""
    return hashlib.sha256(json.dumps(_rows_of(files)).encode()).hexdigest()[:8]


def reasoning_settings(job: Job) -> ReasoningSettings:
    """The part of a job that the main flow reads."""
    return ReasoningSettings(
        max_length=job.data.max_length,
        max_chains=job.reasoning.max_chains,
        max_links=job.reasoning.max_links,
        per_chain=job.extend.per_chain,
        threshold=job.verify.threshold,
    )
