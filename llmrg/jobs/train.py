"""Train and evaluate the recommender a pipeline file names, with or without graphs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrg.config import Job
from llmrg.errors import MissingExtra
from llmrg.graph_store import GraphTable
from llmrg.jobs.experiment import Run, System, run_system
from llmrg.jobs.files import read_json
from llmrg.jobs.graph_figures import graph_report
from llmrg.jobs.graph_folder import TEST, TRAIN
from llmrg.jobs.prepare import Prepared, prepare
from llmrg.jobs.report import page_of, write_page
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.registry import create
from llmrg.text import HashingEncoder

if TYPE_CHECKING:
    from llmrg.training import TrainSettings

UNTRAINED = ("popular", "item_knn")
NODE_VECTOR_SIZE = 256


def train(job: Job) -> Run:
    """Run a `train` or `evaluate` job and write its page."""
    prepared = prepare(job)
    run = run_job_system(job, prepared, system_of(job, prepared), job.run.path)
    reasoner = run.report.get("llm", {}).get("reasoner", "")
    page = page_of([run], title=f"{run.name} on {prepared.dataset.name}", reasoner=reasoner)
    write_page(page, job.run.path)
    return run


def run_job_system(job: Job, prepared: Prepared, system: System, folder: Path) -> Run:
    """Train and evaluate one system on the data of a job."""
    facts: dict[str, Any] = {
        "data": {
            "name": prepared.dataset.name,
            "note": prepared.dataset.note,
            "digest": prepared.dataset.digest()[:16],
            "cut": prepared.split.cut(),
            **prepared.dataset.describe(),
        },
        "evaluate": job.evaluate.model_dump(),
    }
    return run_system(
        system,
        split=prepared.split,
        catalog=prepared.dataset.catalog,
        folder=folder,
        at=job.evaluate.at,
        facts=facts,
        job=job.model_dump(mode="json"),
    )


def system_of(job: Job, prepared: Prepared) -> System:
    """What a job's [recommender], [fusion] and [train] describe."""
    name = job.recommender.name
    if name in UNTRAINED:
        return baseline(name, job)
    if job.fusion.kind == "none":
        return host(job)
    if job.fusion.graph == "sequence":
        return fused_with_sequence(job, prepared)
    return fused_with_graphs(job, prepared)


def baseline(name: str, job: Job) -> System:
    """A system without anything random: one seed says all."""
    settings = job.recommender.settings if job.recommender.name == name else {}
    return System(
        name=name,
        note="no training",
        make=lambda seed, checkpoint: create(name, settings),
        seeds=[0],
        settings={"recommender": name, "settings": settings},
    )


def host(job: Job) -> System:
    """The sequential model alone."""
    return System(
        name=job.recommender.name,
        note="sequence of items alone",
        make=partial(_make_host, job),
        seeds=job.train.seeds,
        settings={"recommender": job.recommender.model_dump(), "train": job.train.model_dump()},
    )


def fused_with_sequence(job: Job, prepared: Prepared) -> System:
    """The control: the same encoders over the plain sequence, which no reasoning made."""
    from llmrg.evaluation.controls import sequence_graph

    catalog, length = prepared.dataset.catalog, job.data.max_length
    split = prepared.split
    tables = [
        sequence_graph(histories, catalog, length)
        for histories in (split.train, split.test.histories)
    ]
    name = f"{job.recommender.name} + sequence graph"
    return _fused(job, name, "the same encoders, no reasoning", tables, {"graph": "sequence"})


def fused_with_graphs(job: Job, prepared: Prepared) -> System:
    """The model fused with the reasoning graphs in [graphs] path."""
    folder = job.graphs.path
    tables = [GraphTable.load(folder / TRAIN), GraphTable.load(folder / TEST)]
    manifest = read_json(folder / "manifest.json", made_by="llmrg run pipelines/build_graphs.toml")
    name = f"{job.recommender.name} + LLMRG"
    reasoner = graph_report(folder)["llm"]["reasoner"]
    by = "the catalogue reasoner" if reasoner.startswith("catalog:") else reasoner
    note = f"reasoning graphs by {by}"
    return _fused(job, name, note, tables, {"graph": "llmrg", "manifest": manifest})


def _fused(
    job: Job, name: str, note: str, tables: list[GraphTable], graph: dict[str, Any]
) -> System:
    return System(
        name=name,
        note=note,
        make=partial(_make_fused, job, tables),
        seeds=job.train.seeds,
        settings={
            "recommender": job.recommender.model_dump(),
            "fusion": job.fusion.model_dump(),
            "train": job.train.model_dump(),
            **graph,
        },
    )


def _make_host(job: Job, seed: int, checkpoint: Path) -> Recommender:
    settings = {"max_length": job.data.max_length, **job.recommender.settings}
    return create(
        job.recommender.name,
        {"training": train_settings(job, seed), "checkpoint": checkpoint, **settings},
    )


def _make_fused(job: Job, tables: list[GraphTable], seed: int, checkpoint: Path) -> Recommender:
    settings = {"max_length": job.data.max_length, **job.recommender.settings}
    from llmrg.recommenders.fused import Fused

    recommender = Fused(
        host=job.recommender.name,
        host_settings=settings,
        training=train_settings(job, seed),
        checkpoint=checkpoint,
        **job.fusion.settings,
    )
    recommender.attach(tables, text_features)
    return recommender


def text_features(texts: Any) -> Any:
    """Vectors of the nodes that are no items."""
    return HashingEncoder(NODE_VECTOR_SIZE).encode(texts)


def train_settings(job: Job, seed: int) -> TrainSettings:
    """[train] as the training loop reads it."""
    try:
        from llmrg.training import TrainSettings
    except ModuleNotFoundError as error:
        raise MissingExtra("training", package=error.name or "torch", extra="learn") from error
    table = job.train
    return TrainSettings(
        epochs=table.epochs,
        learning_rate=table.learning_rate,
        weight_decay=table.weight_decay,
        batch_tokens=table.batch_tokens,
        patience=table.patience,
        seed=seed,
        device=table.device,
    )
