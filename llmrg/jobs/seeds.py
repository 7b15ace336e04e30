"""Train one system with one seed in a process of its own, and keep what came of it.

A seed's folder holds `model.safetensors` and `model.json`, `test.parquet` (the best 100 items per
user), `valid.parquet` (the rank of each validation item) and `result.json`, written last: a seed
that has it is not trained again. Until then `checkpoint/` lets interrupted training go on.

Small models gain little from a second thread, and two jobs that share cores lose much by it. So
seeds and systems are trained side by side, each on its share of the cores.
"""

from __future__ import annotations

import multiprocessing
import os
import shutil
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from llmrg.config import Job
from llmrg.evaluation.evaluator import Evaluation, Evaluator, monitor
from llmrg.jobs.files import read_json, write_json
from llmrg.jobs.manifest import peak_bytes
from llmrg.jobs.prepare import Prepared, prepare
from llmrg.jobs.progress import tell
from llmrg.jobs.systems import Place, make_system

CHOOSE_BY = "ndcg@10"
"""The validation figure that early stopping goes by."""

WORKER_ENVIRONMENT = {
    # A thread that waits for work must not spin: on shared cores that costs ten times the work.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Keep freed memory instead of returning it after every batch: a fifth faster.
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
}
"""Set for training processes unless the user set them otherwise."""


@dataclass(frozen=True)
class Task:
    """One training: a system of a job, a seed, a folder, and a digest of all that decides it.

    Attributes:
        after: folder of a training that must be finished before, whose weights it starts from.
    """

    job: Job
    system: str
    seed: int
    folder: Path
    mark: str
    after: Path | None = None

    @property
    def finished(self) -> bool:
        """Whether this very training left its results."""
        path = self.folder / "result.json"
        return path.is_file() and read_json(path, made_by="llmrg run")["fingerprint"] == self.mark


def train_all(tasks: Sequence[Task], prepared: Prepared) -> None:
    """Train whatever is not finished, as many at a time as there are cores."""
    waiting = [task for task in tasks if not task.finished]
    cores = (
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    )
    workers = min(cores, len(waiting))
    if workers <= 1 or _has_gpu():
        for task in waiting:
            train_one(task, prepared)
        return
    os.environ.update(WORKER_ENVIRONMENT | dict(os.environ))
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker, (cores // workers,)) as pool:
        try:
            _run_in_order(pool, waiting)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_in_order(pool: ProcessPoolExecutor, waiting: list[Task]) -> None:
    """Start each task as soon as a worker is free and what it builds on is there."""
    missing = {task.folder for task in waiting}
    running: dict[Future[None], Path] = {}
    while waiting or running:
        for task in [task for task in waiting if task.after not in missing]:
            running[pool.submit(train_one, task)] = task.folder
            waiting.remove(task)
        for done in wait(running, return_when=FIRST_COMPLETED).done:
            done.result()
            missing.discard(running.pop(done))


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _has_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


def _start_worker(threads: int) -> None:
    import torch

    torch.set_num_threads(max(1, threads))


def train_one(task: Task, prepared: Prepared | None = None) -> None:
    """Train, evaluate and write one seed; loads the data itself in a process of its own."""
    prepared = prepared or prepare(task.job)
    split, catalog = prepared.split, prepared.dataset.catalog
    at = task.job.evaluate.at
    system = make_system(task.system, task.job)
    checkpoint = task.folder / "checkpoint"
    recommender = system.make(Place(task.seed, checkpoint, task.after), prepared)
    recommender.fit(split.train, catalog, monitor=monitor(split.valid, CHOOSE_BY))
    test = Evaluator(split.test, at=at).evaluate(recommender)
    valid = Evaluator(split.valid, at=at).evaluate(recommender)
    recommender.save(task.folder)
    test.to_frame(catalog, task.seed).to_parquet(task.folder / "test.parquet", index=False)
    _ranks(valid).to_parquet(task.folder / "valid.parquet", index=False)
    history = getattr(recommender, "history", None)
    write_json(
        task.folder / "result.json",
        {
            "fingerprint": task.mark,
            "metrics": {"test": test.metrics(), "valid": valid.metrics()},
            "evaluate_seconds": test.seconds,
            "peak_bytes": peak_bytes(),
            "history": asdict(history) if history is not None and history.epochs else None,
        },
    )
    shutil.rmtree(checkpoint, ignore_errors=True)
    shown = [f"{each.metrics((10,))[CHOOSE_BY]:.4f}" for each in (valid, test)]
    tell(f"{system.name}, seed {task.seed}: {CHOOSE_BY} {shown[0]} on validation, {shown[1]} test")


def _ranks(evaluation: Evaluation) -> pd.DataFrame:
    return pd.DataFrame({"user_id": evaluation.user_ids, "rank": evaluation.ranks})


def result_of(task: Task) -> dict[str, Any]:
    """What `train_one` wrote into result.json."""
    result: dict[str, Any] = read_json(task.folder / "result.json", made_by="llmrg run PIPELINE")
    return result
