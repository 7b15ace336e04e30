"""The systems a job can train: a name, how to make one, and everything that decides its figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrg.config import Job
from llmrg.errors import MissingExtra
from llmrg.graph_store import GraphTable
from llmrg.jobs.files import read_json
from llmrg.jobs.graph_figures import read_summary
from llmrg.jobs.graph_folder import MADE_BY, TEST, TRAIN
from llmrg.jobs.prepare import Prepared
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.registry import create
from llmrg.text import HashingEncoder, Vectors

if TYPE_CHECKING:
    from llmrg.training import TrainSettings

UNTRAINED = ("popular", "item_knn")
NODE_VECTOR_SIZE = 256


@dataclass(frozen=True)
class Place:
    """Where one training happens.

    Attributes:
        checkpoint: folder to go on from after an interruption.
        warm_start: folder of the host this training starts from, if it does.
    """

    seed: int
    checkpoint: Path
    warm_start: Path | None = None


Make = Callable[[Place, Prepared], Recommender]
"""Makes an unfitted recommender."""


@dataclass(frozen=True)
class System:
    """Something to compare.

    Attributes:
        name: as tables show it.
        seeds: one for a system that draws nothing at random.
        settings: everything that decides its figures, for the fingerprint.
        starts_from: key of the system whose weights each seed starts from; empty for none.
    """

    name: str
    note: str
    seeds: Sequence[int]
    make: Make
    settings: dict[str, Any]
    starts_from: str = ""


def make_system(key: str, job: Job) -> System:
    """The system a key stands for: "popular", "item_knn", "host", "sequence" or "llmrg"."""
    if key in UNTRAINED:
        return _baseline(key, job)
    return {"host": _host, "sequence": _with_sequence, "llmrg": _with_graphs}[key](job)


def key_of(job: Job) -> str:
    """The key of the system that a job's [recommender] and [fusion] describe."""
    if job.recommender.name in UNTRAINED:
        return job.recommender.name
    if job.fusion.kind == "none":
        return "host"
    return job.fusion.graph


def _baseline(name: str, job: Job) -> System:
    settings = job.recommender.settings if job.recommender.name == name else {}
    return System(
        name=name,
        note="no training",
        seeds=[0],
        make=lambda place, prepared: create(name, settings),
        settings={"recommender": name, "settings": settings},
    )


def _host(job: Job) -> System:
    return System(
        name=job.recommender.name,
        note="sequence of items alone",
        seeds=job.train.seeds,
        make=partial(_make_host, job),
        settings=_trained(job),
    )


def _with_sequence(job: Job) -> System:
    """The control: the same encoders over the plain sequence, which no reasoning made."""
    return System(
        name=f"{job.recommender.name} + sequence graph",
        note="the same encoders, no reasoning",
        seeds=job.train.seeds,
        make=lambda place, prepared: _make_fused(job, _sequence_tables(job, prepared), place),
        starts_from=_host_key(job),
        settings={**_trained(job), "fusion": job.fusion.model_dump(), "graph": "sequence"},
    )


def _with_graphs(job: Job) -> System:
    """The model fused with the reasoning graphs in [graphs] path."""
    folder = job.graphs.path
    reasoner = read_summary(folder)["reasoner"]
    by = "the catalogue reasoner" if reasoner.startswith("catalog:") else reasoner
    return System(
        name=f"{job.recommender.name} + LLMRG",
        note=f"reasoning graphs by {by}",
        seeds=job.train.seeds,
        make=lambda place, prepared: _make_fused(
            job, [GraphTable.load(folder / TRAIN), GraphTable.load(folder / TEST)], place
        ),
        starts_from=_host_key(job),
        settings={
            **_trained(job),
            "fusion": job.fusion.model_dump(),
            "graph": "llmrg",
            "graphs": read_json(folder / "manifest.json", made_by=MADE_BY),
        },
    )


def _host_key(job: Job) -> str:
    return "host" if job.fusion.warm_start else ""


def _trained(job: Job) -> dict[str, Any]:
    """What decides the figures of any trained system, seeds aside."""
    return {
        "recommender": job.recommender.model_dump(),
        "train": job.train.model_dump(exclude={"seeds", "device"}),
        "max_length": job.data.max_length,
    }


def _sequence_tables(job: Job, prepared: Prepared) -> list[GraphTable]:
    from llmrg.evaluation.controls import sequence_graph

    catalog, length = prepared.dataset.catalog, job.data.max_length
    histories = (prepared.split.train, prepared.split.test.histories)
    return [sequence_graph(each, catalog, length) for each in histories]


def _make_host(job: Job, place: Place, prepared: Prepared) -> Recommender:
    return create(
        job.recommender.name,
        {
            "training": train_settings(job, place.seed),
            "checkpoint": place.checkpoint,
            "max_length": job.data.max_length,
            **job.recommender.settings,
        },
    )


def _make_fused(job: Job, tables: list[GraphTable], place: Place) -> Recommender:
    from llmrg.recommenders.fused import Fused

    # What was trained already is only adjusted: a full rate would throw it away in one epoch.
    rate = job.fusion.learning_rate or job.train.learning_rate * (0.1 if place.warm_start else 1)
    recommender = Fused(
        host=job.recommender.name,
        host_settings={"max_length": job.data.max_length, **job.recommender.settings},
        warm_start=place.warm_start,
        training=replace(train_settings(job, place.seed), learning_rate=rate),
        checkpoint=place.checkpoint,
        **job.fusion.settings,
    )
    recommender.attach(tables, text_features)
    return recommender


def text_features(texts: Sequence[str]) -> Vectors:
    """Vectors of the nodes that are no items."""
    return HashingEncoder(NODE_VECTOR_SIZE).encode(texts)


def train_settings(job: Job, seed: int) -> TrainSettings:
    """[train] as the training loop reads it.

    Raises:
        MissingExtra: if torch is not installed.
    """
    try:
        from llmrg.training import TrainSettings
    except ModuleNotFoundError as error:
        raise MissingExtra("training", package=error.name or "torch", extra="learn") from error
    return TrainSettings(seed=seed, **job.train.model_dump(exclude={"seeds"}))
