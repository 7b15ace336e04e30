"""Train systems with several seeds, put them to the test, and leave run folders behind.

A run folder holds

    manifest.json         settings, versions, digests; a run that is there already is not repeated
    report.json           every figure; its memory.peak_bytes is the largest peak among the
                          processes that trained a seed, data and evaluation included
    predictions.parquet   the best 100 items per user and seed, from which the figures follow
    seed-N/               the trained model, as safetensors and JSON
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.config import Job
from llmrg.errors import DataError
from llmrg.evaluation.metrics import per_case
from llmrg.evaluation.significance import interval
from llmrg.jobs.files import read_json, write_json
from llmrg.jobs.graph_figures import graph_report
from llmrg.jobs.manifest import fingerprint
from llmrg.jobs.prepare import Prepared
from llmrg.jobs.progress import tell
from llmrg.jobs.seeds import Task, result_of, train_all
from llmrg.jobs.systems import System, check_systems, make_system, starts_from

PER_USER = ("hit_rate", "ndcg", "mrr")


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run as reports read it.

    Attributes:
        report: the content of report.json.
        manifest: the content of manifest.json.
        user_ids: the tested users. Shape (C,).
        targets: item_id of each user's held-out item. Shape (C,).
        ranks: rank of each user's target by seed, 0 beyond the stored predictions. Shape (S, C).
    """

    path: Path
    report: dict[str, Any]
    manifest: dict[str, Any]
    user_ids: NDArray[np.object_]
    targets: NDArray[np.object_]
    ranks: NDArray[np.int64] = field(repr=False)

    @property
    def name(self) -> str:
        """The system's name."""
        return str(self.report["system"])

    def per_user(self, metric: str) -> NDArray[np.float64]:
        """A metric for every seed and user. Shape (S, C)."""
        return np.stack([np.asarray(per_case(metric, ranks)) for ranks in self.ranks])


def run_systems(job: Job, prepared: Prepared, folders: Mapping[str, Path]) -> list[Run]:
    """Train and evaluate systems side by side; what is finished already is not repeated.

    Args:
        folders: key of a system → its run folder. A host that another system starts from is
            trained first, in a folder of its own if it has none here.

    Returns:
        The runs, in the order of the systems; those of hosts trained for others come first.

    Raises:
        ConfigError, MissingExtra: before any work, if a system cannot be made.
    """
    hosts = {start: job.run.path / start for key in folders if (start := starts_from(key, job))}
    folders = {**{key: path for key, path in hosts.items() if key not in folders}, **folders}
    check_systems(folders, job)
    facts = {
        "data": {
            "name": prepared.dataset.name,
            "digest": prepared.dataset.digest()[:16],
            "cut": prepared.split.cut(),
        },
        "evaluate": job.evaluate.model_dump(),
    }
    systems = {key: make_system(key, job) for key in folders}
    marks = {key: fingerprint({**system.settings, **facts}) for key, system in systems.items()}

    def task_of(key: str, seed: int) -> Task:
        start = systems[key].starts_from
        after = folders[start] / f"seed-{seed}" if start else None
        place = folders[key] / f"seed-{seed}"
        return Task(job, key, systems[key].name, seed, place, marks[key], after)

    tasks = {key: [task_of(key, seed) for seed in systems[key].seeds] for key in systems}
    train_all([task for key in systems for task in tasks[key]], prepared)
    for key, system in systems.items():
        manifest = {"fingerprint": marks[key], "system": system.settings, **facts}
        _write_run(job, prepared, system, tasks[key], folders[key], manifest)
    return [load_run(folders[key]) for key in systems]


def _write_run(
    job: Job,
    prepared: Prepared,
    system: System,
    tasks: Sequence[Task],
    folder: Path,
    manifest: dict[str, Any],
) -> None:
    """Gather the seeds of a system into its run folder."""
    seeds = [task.seed for task in tasks]
    predictions = pd.concat([pd.read_parquet(task.folder / "test.parquet") for task in tasks])
    predictions.to_parquet(folder / "predictions.parquet", index=False)
    results = [result_of(task) for task in tasks]
    tested = prepared.split.test.histories.user_ids
    valid = np.stack([pd.read_parquet(t.folder / "valid.parquet")["rank"] for t in tasks])
    report: dict[str, Any] = {
        "system": system.name,
        "note": system.note,
        "seeds": seeds,
        "users": len(tested),
        "metrics": {
            "test": _summarize(_test_ranks(predictions, seeds, tested), results, "test", job),
            "valid": _summarize(valid, results, "valid", job),
        },
        "evaluate": {"seconds": float(np.mean([r["evaluate_seconds"] for r in results]))},
        "memory": {"peak_bytes": max(r["peak_bytes"] for r in results)},
        **_training_figures([r["history"] for r in results], seeds),
        **(graph_report(job.graphs.path) if system.settings.get("graph") == "llmrg" else {}),
    }
    write_json(folder / "report.json", report)
    described = {
        **manifest,
        "seeds": seeds,
        # Of the training, not of the run that gathers its results; later seeds have their own in
        # their result.json.
        "versions": results[0]["versions"],
        "machine": results[0]["machine"],
        "job": job.model_dump(mode="json"),
        "facts": prepared.dataset.describe(),
    }
    write_json(folder / "manifest.json", described)
    tell(f"{system.name}: {folder}")


def _summarize(
    ranks: NDArray[np.int64], results: Sequence[dict[str, Any]], phase: str, job: Job
) -> dict[str, float]:
    """Mean over seeds of every metric, with the interval over users and seeds beside it."""
    summary: dict[str, float] = {}
    for k in job.evaluate.at:
        for name in PER_USER:
            metric = f"{name}@{k}"
            found = interval(np.stack([np.asarray(per_case(metric, row)) for row in ranks]))
            summary[metric] = found.mean
            summary[f"{metric}.low"] = found.low
            summary[f"{metric}.high"] = found.high
        coverage = [result["metrics"][phase][f"coverage@{k}"] for result in results]
        summary[f"coverage@{k}"] = float(np.mean(coverage))
    return summary


def _training_figures(
    histories: Sequence[dict[str, Any] | None], seeds: Sequence[int]
) -> dict[str, Any]:
    """Speed and learning curves, for systems that train in epochs."""
    trained = [history for history in histories if history]
    if not trained:
        return {}
    epochs = [epoch for history in trained for epoch in history["epochs"]]
    seconds = sum(epoch["seconds"] for epoch in epochs)
    return {
        "train": {
            "seconds": seconds / len(trained),
            "seconds_per_epoch": seconds / len(epochs),
            "targets_per_second": sum(epoch["targets"] for epoch in epochs) / seconds,
            "best_epoch": [history["best_epoch"] for history in trained],
        },
        "learning": [
            {
                "seed": seed,
                "epochs": [epoch["number"] for epoch in history["epochs"]],
                "loss": [epoch["loss"] for epoch in history["epochs"]],
                "valid": [epoch["metric"] for epoch in history["epochs"]],
            }
            for seed, history in zip(seeds, trained, strict=True)
        ],
    }


def load_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        ResourceError: if the folder holds none.
        DataError: if its predictions cannot be read.
    """
    report = read_json(folder / "report.json", made_by="llmrg run PIPELINE")
    manifest = read_json(folder / "manifest.json", made_by="llmrg run PIPELINE")
    path = folder / "predictions.parquet"
    try:
        table = pd.read_parquet(path, columns=["user_id", "item_id", "rank", "target", "seed"])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the pipeline again") from error
    tested = table.drop_duplicates("user_id")
    users, targets = (tested[name].to_numpy(dtype=object) for name in ("user_id", "target"))
    ranks = _test_ranks(table, report["seeds"], users)
    return Run(folder, report, manifest, users, targets, ranks)


def _test_ranks(
    predictions: pd.DataFrame, seeds: Sequence[int], users: NDArray[np.object_]
) -> NDArray[np.int64]:
    """Rank of each user's target by seed, 0 where it is not among the predictions. (S, C)."""
    hits = predictions[predictions["item_id"] == predictions["target"]]
    ranks = np.zeros((len(seeds), len(users)), dtype=np.int64)
    row = pd.Index(seeds).get_indexer(pd.Index(hits["seed"]))
    column = pd.Index(users).get_indexer(pd.Index(hits["user_id"]))
    ranks[row, column] = hits["rank"].to_numpy()
    return ranks
