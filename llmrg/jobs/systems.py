"""The systems a job can train: a name, how to make one, and everything that decides its figures.

Making one takes settings alone, so that every system of a job can be made once at its start: a
wrong setting or a missing package is then found before hours of work. Its graphs come second.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from llmrg.config import Job
from llmrg.data.interactions import Histories
from llmrg.errors import ConfigError, MissingExtra
from llmrg.graph_store import GraphTable
from llmrg.graph_store.steps import shards_of
from llmrg.jobs.files import read_json
from llmrg.jobs.graph_figures import read_summary
from llmrg.jobs.graph_folder import MADE_BY, TEST, TRAIN
from llmrg.jobs.manifest import digest_of_files
from llmrg.jobs.prepare import Prepared
from llmrg.recommenders.base import Recommender
from llmrg.recommenders.registry import create
from llmrg.text import HashingEncoder, Vectors

if TYPE_CHECKING:
    from llmrg.training import TrainSettings

UNTRAINED = ("popular", "item_knn")
FUSED = ("sequence", "llmrg")
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
    settings: dict[str, Any]
    starts_from: str = ""


def make_system(key: str, job: Job) -> System:
    """The system a key stands for: "popular", "item_knn", "host", "sequence" or "llmrg".

    Raises:
        ResourceError: for "llmrg", if its graphs are not built.
    """
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


def starts_from(key: str, job: Job) -> str:
    """Key of the system whose weights another starts from; empty for none."""
    return "host" if key in FUSED and job.fusion.warm_start else ""


def check_systems(keys: Iterable[str], job: Job) -> None:
    """Make each system once, from settings alone, before any work is done.

    Raises:
        ConfigError: if a setting is unknown or out of range, or the device does not exist.
        MissingExtra: if a package that training needs is not installed.
    """
    for key in keys:
        host = job.run.path / "host" if starts_from(key, job) else None
        create_recommender(key, job, Place(job.train.seeds[0], job.run.path, host))
        if key not in UNTRAINED:
            device_type(job)


def device_type(job: Job) -> str:
    """What kind of device [train] device means here, such as "cpu" or "cuda".

    Raises:
        MissingExtra: if torch is not installed.
        ConfigError: if there is no such device.
    """
    try:
        from llmrg.training import pick_device
    except ModuleNotFoundError as error:
        raise MissingExtra("training", package=error.name or "torch", extra="learn") from error
    return pick_device(job.train.device).type


def create_recommender(key: str, job: Job, place: Place) -> Recommender:
    """Make the unfitted recommender of a system; `attach_graphs` is left to do.

    Raises:
        ConfigError, MissingExtra: as in `check_systems`.
    """
    if key in UNTRAINED:
        return create(key, _settings_of(key, job))
    given = _without(job.recommender.settings, ("training", "checkpoint"), "recommender")
    training = train_settings(job, place.seed)
    host = {"max_length": job.data.max_length, **given}
    if key == "host":
        kept = {"training": training, "checkpoint": place.checkpoint}
        return create(job.recommender.name, {**kept, **host})
    # Which targets are trained is the fused model's to say: it trains host and encoders together.
    host.pop("coverage", None)
    rate = job.fusion.learning_rate or job.train.learning_rate
    owned = {
        "host": job.recommender.name,
        "host_settings": host,
        "warm_start": place.warm_start,
        "training": replace(training, learning_rate=rate),
        "checkpoint": place.checkpoint,
    }
    return create("fused", {**owned, **_without(job.fusion.settings, owned, "fusion")})


def _without(given: Mapping[str, Any], owned: Iterable[str], table: str) -> Mapping[str, Any]:
    """The settings of a table, if none of them is one that the job itself decides."""
    for name in owned:
        if name in given:
            raise ConfigError(
                f"[{table}] settings cannot hold {name!r}: the job sets it; "
                "see [train], [recommender] and [fusion]"
            )
    return given


def attach_graphs(key: str, job: Job, recommender: Recommender, prepared: Prepared) -> None:
    """Give a recommender the graphs its system reads, if it reads any.

    Raises:
        LeakageError, GraphError: if a test-time graph saw more than was known then, or belongs to
            other data. Training graphs are checked by `fit`.
    """
    if key not in FUSED:
        return
    from llmrg.encoding.leakage import check_against
    from llmrg.recommenders.fused import Fused

    assert isinstance(recommender, Fused)
    if key == "sequence":
        tables = _sequence_tables(job, prepared)
    else:
        tables = [GraphTable.load(job.graphs.path / part) for part in (TRAIN, TEST)]
    check_against(tables[1], known_at_test(prepared), prepared.dataset.catalog)
    recommender.attach(tables, text_features)


def known_at_test(prepared: Prepared) -> Histories:
    """What is known of every user when the test items are asked for.

    Of a tested user that is the history of the test case; of the others, the training history.
    """
    train, tested = prepared.split.train, prepared.split.test.histories
    lengths = train.lengths.copy()
    users = pd.Index(train.user_ids, dtype=object)
    rows = users.get_indexer(pd.Index(tested.user_ids, dtype=object))
    lengths[rows] = tested.lengths
    return prepared.dataset.histories.head(lengths)


def _sequence_tables(job: Job, prepared: Prepared) -> list[GraphTable]:
    """The control's graphs; like LLMRG's, those of test time are the training graphs, grown."""
    from llmrg.evaluation.controls import sequence_graph

    catalog, length = prepared.dataset.catalog, job.data.max_length
    train, known = prepared.split.train, known_at_test(prepared)
    starts = starts_at_test(train.lengths, known.lengths, length)
    return [
        sequence_graph(train, catalog, length),
        sequence_graph(known, catalog, length, starts=starts),
    ]


def starts_at_test(
    train: NDArray[np.int64], known: NDArray[np.int64], max_length: int
) -> NDArray[np.int64]:
    """Where LLMRG's test-time graphs start: where the training graph did, which only grew.

    A user who took more than `max_length` items since has a new graph, of the newest ones.

    Args:
        train, known: number of items in training and at test time. Both of shape (U,).
    """
    newest = np.where(known - train > max_length, known, train)
    return np.asarray(np.maximum(newest - max_length, 0))


def _settings_of(name: str, job: Job) -> dict[str, Any]:
    return job.recommender.settings if job.recommender.name == name else {}


def _baseline(name: str, job: Job) -> System:
    return System(
        name=name,
        note="no training",
        seeds=[0],
        settings={"recommender": name, "settings": _settings_of(name, job)},
    )


def _host(job: Job) -> System:
    return System(
        name=job.recommender.name,
        note="sequence of items alone",
        seeds=job.train.seeds,
        settings=_trained(job),
    )


def _with_sequence(job: Job) -> System:
    """The control: the same encoders over the plain sequence, which no reasoning made."""
    return System(
        name=f"{job.recommender.name} + sequence graph",
        note="the same encoders, no reasoning",
        seeds=job.train.seeds,
        settings={**_trained(job), "fusion": job.fusion.model_dump(), "graph": "sequence"},
        starts_from=starts_from("sequence", job),
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
        settings={
            **_trained(job),
            "fusion": job.fusion.model_dump(),
            "graph": "llmrg",
            "graphs": read_json(folder / "manifest.json", made_by=MADE_BY),
            # Building users who failed at first changes the shards and not the manifest.
            "shards": {part: digest_of_files(shards_of(folder / part)) for part in (TRAIN, TEST)},
        },
        starts_from=starts_from("llmrg", job),
    )


def _trained(job: Job) -> dict[str, Any]:
    """What decides the figures of any trained system, seeds aside."""
    return {
        "recommender": job.recommender.model_dump(),
        "train": job.train.model_dump(exclude={"seeds", "device"}),
        "max_length": job.data.max_length,
    }


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
