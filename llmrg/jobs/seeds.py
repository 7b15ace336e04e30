"""Train one system with one seed in a process of its own, and keep what came of it.

A seed's folder holds `model.safetensors` and `model.json`, `test.parquet` (the best 100 items per
user), `valid.parquet` (the rank of each validation item) and `result.json`. That one is removed
first and written last, so files of two trainings never pass for a finished one; a seed that has it
is not trained again. Until then `checkpoint-MARK/` lets interrupted training go on.

Small models gain little from a second thread, and two jobs that share cores lose much by it. So
seeds and systems are trained side by side, each on its share of the cores. The share follows from
the number of all trainings, not of those left: a resumed job gives the very same weights.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
import threading
from collections.abc import Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd

from llmrg.config import Job, restore_job
from llmrg.evaluation.evaluator import Evaluation, Evaluator, monitor
from llmrg.jobs.files import read_json, write_json
from llmrg.jobs.manifest import machine, peak_bytes, versions
from llmrg.jobs.prepare import Prepared, prepare
from llmrg.jobs.progress import tell
from llmrg.jobs.systems import UNTRAINED, Place, attach_graphs, create_recommender, device_type

CHOOSE_BY = "ndcg@10"
"""The validation figure that early stopping goes by."""

WORKER_ENVIRONMENT = {
    # A thread that waits for work must not spin: on shared cores that costs ten times the work.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Keep freed memory instead of returning it after every batch: faster on large batches.
    "MALLOC_MMAP_THRESHOLD_": str(8 << 30),
    "MALLOC_TRIM_THRESHOLD_": str(16 << 30),
}
"""Set for training processes unless the user set them otherwise."""


@dataclass(frozen=True)
class Task:
    """One training: a system of a job, a seed, a folder, and a digest of all that decides it.

    Attributes:
        system: its key.
        name: as tables show it.
        after: folder of a training that must be finished before, whose weights it starts from.
    """

    job: Job
    system: str
    name: str
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
    """Train whatever is not finished: on a GPU one by one, else side by side in workers."""
    waiting = [task for task in tasks if not task.finished]
    if not waiting:
        return
    if _on_gpu(waiting):
        for task in waiting:
            train_one(task, prepared)
        return
    workers, threads = share_cores(len(tasks))
    os.environ.update(WORKER_ENVIRONMENT | dict(os.environ))
    context = multiprocessing.get_context("spawn")
    workers = min(workers, len(waiting))
    with ProcessPoolExecutor(workers, context, _start_worker, (threads,)) as pool:
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


def share_cores(trainings: int) -> tuple[int, int]:
    """How many trainings run at once on a CPU, and the threads of each."""
    workers = max(1, min(_cores(), trainings))
    return workers, _cores() // workers


def _cores() -> int:
    """Cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _on_gpu(tasks: Sequence[Task]) -> bool:
    trained = [task for task in tasks if task.system not in UNTRAINED]
    return bool(trained) and device_type(trained[0].job) != "cpu"


def _start_worker(threads: int) -> None:
    """Set up a worker process, and have it end with its parent, however that ends."""
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    try:
        import torch
    except ModuleNotFoundError:  # the baselines do without
        return
    torch.set_num_threads(threads)


def _exit_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()  # waits on its sentinel, which even a kill -9 closes
    os._exit(1)


def train_one(task: Task, prepared: Prepared | None = None) -> None:
    """Train, evaluate and write one seed; loads the data itself in a process of its own."""
    prepared = prepared or _data_of(task.job)
    split, catalog = prepared.split, prepared.dataset.catalog
    checkpoint = _clear_folder(task)
    recommender = create_recommender(
        task.system, task.job, Place(task.seed, checkpoint, task.after)
    )
    attach_graphs(task.system, task.job, recommender, prepared)
    recommender.fit(split.train, catalog, monitor=monitor(split.valid, CHOOSE_BY))
    at = task.job.evaluate.at
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
            "versions": versions(),
            "machine": machine(),
        },
    )
    shutil.rmtree(checkpoint, ignore_errors=True)
    shown = [f"{each.metrics((10,))[CHOOSE_BY]:.4f}" for each in (valid, test)]
    tell(f"{task.name}, seed {task.seed}: {CHOOSE_BY} {shown[0]} on validation, {shown[1]} test")


def _clear_folder(task: Task) -> Path:
    """Drop what other trainings left in the folder; return this one's folder of checkpoints."""
    (task.folder / "result.json").unlink(missing_ok=True)
    checkpoint = task.folder / f"checkpoint-{task.mark}"
    for old in task.folder.glob("checkpoint-*"):
        if old != checkpoint:
            shutil.rmtree(old)
    return checkpoint


def _data_of(job: Job) -> Prepared:
    """Prepare a job's data, once in each worker however many of its systems are trained there."""
    described = job.model_dump(mode="json", include={"job", "data", "evaluate"})
    return _prepare_once(json.dumps(described, sort_keys=True))


@lru_cache(maxsize=1)
def _prepare_once(described: str) -> Prepared:
    return prepare(restore_job(json.loads(described), Path("a worker process")))


def _ranks(evaluation: Evaluation) -> pd.DataFrame:
    return pd.DataFrame({"user_id": evaluation.user_ids, "rank": evaluation.ranks})


def result_of(task: Task) -> dict[str, Any]:
    """What `train_one` wrote into result.json."""
    result: dict[str, Any] = read_json(task.folder / "result.json", made_by="llmrg run PIPELINE")
    return result
