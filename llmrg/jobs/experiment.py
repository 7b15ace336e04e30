"""Train one system with several seeds, put it to the test, and leave a run folder behind.

A run folder holds

    manifest.json         settings, versions, digests; a run that is there already is not repeated
    report.json           every figure
    predictions.parquet   the best 100 items per user and seed, from which the figures follow
    seed-N/               the trained model, as safetensors and JSON
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.data.catalog import Catalog
from llmrg.data.splits import Split
from llmrg.errors import DataError
from llmrg.evaluation.evaluator import Evaluation, Evaluator, monitor
from llmrg.evaluation.metrics import per_case
from llmrg.evaluation.significance import interval
from llmrg.jobs.files import read_json, write_json
from llmrg.jobs.manifest import fingerprint, machine, peak_bytes, versions
from llmrg.jobs.progress import tell
from llmrg.recommenders.base import Recommender

PER_USER = ("hit_rate", "ndcg", "mrr")
CHOOSE_BY = "ndcg@10"
"""The validation figure that early stopping goes by."""


@dataclass(frozen=True)
class System:
    """Something to compare.

    Attributes:
        name: as tables show it.
        make: makes an unfitted recommender for a seed and a folder for its checkpoints.
        seeds: one for a system that draws nothing at random.
        settings: everything that decides its figures, for the fingerprint.
    """

    name: str
    note: str
    make: Callable[[int, Path], Recommender]
    seeds: Sequence[int]
    settings: Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run as reports read it.

    Attributes:
        report: the content of report.json.
        user_ids: the tested users. Shape (C,).
        ranks: rank of each user's target by seed, 0 beyond the stored predictions. Shape (S, C).
    """

    path: Path
    report: dict[str, Any]
    user_ids: NDArray[np.object_]
    ranks: NDArray[np.int64] = field(repr=False)

    @property
    def name(self) -> str:
        """The system's name."""
        return str(self.report["system"])

    def per_user(self, metric: str) -> NDArray[np.float64]:
        """A metric for every seed and user. Shape (S, C)."""
        return np.stack([np.asarray(per_case(metric, ranks)) for ranks in self.ranks])


def run_system(
    system: System,
    *,
    split: Split,
    catalog: Catalog,
    folder: Path,
    at: Sequence[int],
    facts: Mapping[str, Any],
    job: Mapping[str, Any],
) -> Run:
    """Train and evaluate a system, unless this very run is already there.

    Args:
        facts: what else decides the figures, such as digests of the data and the graphs.
        job: the pipeline as it was run, for the manifest.
    """
    mark = fingerprint({"system": dict(system.settings), "seeds": list(system.seeds), **facts})
    if _finished(folder, mark):
        tell(f"{system.name}: already there, in {folder}")
        return load_run(folder)
    tests, valids, recommenders = [], [], []
    for seed in system.seeds:
        recommender, test, valid = _run_seed(
            system, seed, split, catalog, folder / f"seed-{seed}", at
        )
        recommenders.append(recommender)
        tests.append(test)
        valids.append(valid)
    frames = [e.to_frame(catalog, s) for e, s in zip(tests, system.seeds, strict=True)]
    pd.concat(frames).to_parquet(folder / "predictions.parquet", index=False)
    report = {
        "system": system.name,
        "note": system.note,
        "seeds": list(system.seeds),
        "users": len(split.test),
        "metrics": {"test": _summarize(tests, at), "valid": _summarize(valids, at)},
        "evaluate": {"seconds": float(np.mean([test.seconds for test in tests]))},
        "memory": {"peak_bytes": peak_bytes()},
        **_training_figures(recommenders, system.seeds),
    }
    write_json(folder / "report.json", report)
    manifest = {
        "fingerprint": mark,
        "system": dict(system.settings),
        "seeds": list(system.seeds),
        "versions": versions(),
        "machine": machine(),
        "job": dict(job),
        **facts,
    }
    write_json(folder / "manifest.json", manifest)
    return load_run(folder)


def _run_seed(
    system: System, seed: int, split: Split, catalog: Catalog, folder: Path, at: Sequence[int]
) -> tuple[Recommender, Evaluation, Evaluation]:
    checkpoint = folder / "checkpoint"
    recommender = system.make(seed, checkpoint)
    recommender.fit(split.train, catalog, monitor=monitor(split.valid, CHOOSE_BY))
    test = Evaluator(split.test, at=at).evaluate(recommender)
    valid = Evaluator(split.valid, at=at).evaluate(recommender)
    recommender.save(folder)
    shutil.rmtree(checkpoint, ignore_errors=True)
    shown = [f"{each.metrics((10,))[CHOOSE_BY]:.4f}" for each in (valid, test)]
    tell(f"{system.name}, seed {seed}: {CHOOSE_BY} {shown[0]} on validation, {shown[1]} on test")
    return recommender, test, valid


def _finished(folder: Path, mark: str) -> bool:
    path = folder / "manifest.json"
    if not path.is_file() or not (folder / "report.json").is_file():
        return False
    found = read_json(path, made_by="llmrg run")
    return bool(found.get("fingerprint") == mark)


def _summarize(evaluations: Sequence[Evaluation], at: Sequence[int]) -> dict[str, float]:
    """Mean over seeds of every metric, with the interval over users and seeds beside it."""
    summary: dict[str, float] = {}
    for k in at:
        for name in PER_USER:
            metric = f"{name}@{k}"
            found = interval(np.stack([each.per_user(metric) for each in evaluations]))
            summary[metric] = found.mean
            summary[f"{metric}.low"] = found.low
            summary[f"{metric}.high"] = found.high
        coverage = [each.metrics((k,))[f"coverage@{k}"] for each in evaluations]
        summary[f"coverage@{k}"] = float(np.mean(coverage))
    return summary


def _training_figures(recommenders: Sequence[Recommender], seeds: Sequence[int]) -> dict[str, Any]:
    """Speed and learning curves, for systems that train in epochs."""
    histories = [history for r in recommenders if (history := getattr(r, "history", None))]
    if not histories:
        return {}
    epochs = sum(len(history.epochs) for history in histories)
    seconds = sum(history.seconds for history in histories)
    targets = sum(epoch.targets for history in histories for epoch in history.epochs)
    return {
        "train": {
            "seconds": seconds / len(histories),
            "seconds_per_epoch": seconds / max(epochs, 1),
            "targets_per_second": targets / max(seconds, 1e-9),
            "best_epoch": [history.best_epoch for history in histories],
        },
        "learning": [
            {
                "seed": seed,
                "epochs": [epoch.number for epoch in history.epochs],
                "loss": [epoch.loss for epoch in history.epochs],
                "valid": [epoch.metric for epoch in history.epochs],
            }
            for seed, history in zip(seeds, histories, strict=True)
        ],
    }


def load_run(folder: Path) -> Run:
    """Read a finished run.

    Raises:
        ResourceError: if the folder holds none.
        DataError: if its predictions cannot be read.
    """
    report = read_json(folder / "report.json", made_by="llmrg run PIPELINE")
    path = folder / "predictions.parquet"
    try:
        table = pd.read_parquet(path, columns=["user_id", "item_id", "rank", "target", "seed"])
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: cannot be read ({error}); run the pipeline again") from error
    users = pd.unique(table["user_id"])
    hits = table[table["item_id"] == table["target"]]
    ranks = np.zeros((len(report["seeds"]), len(users)), dtype=np.int64)
    row = pd.Index(report["seeds"]).get_indexer(pd.Index(hits["seed"]))
    column = pd.Index(users).get_indexer(pd.Index(hits["user_id"]))
    ranks[row, column] = hits["rank"].to_numpy()
    return Run(folder, report, np.asarray(users, dtype=object), ranks)
