"""Training jobs: wrong settings stop them early, and a resumed one gives the very same models."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.console import Console
from small_jobs import prepared_from

from llmrg.config import Job, parse_overrides
from llmrg.data.catalog import Catalog
from llmrg.data.dataset import Dataset
from llmrg.data.interactions import Histories
from llmrg.errors import ConfigError, DataError, LeakageError
from llmrg.graph_store import IMAGINED, GraphTable, read_graphs, write_shard
from llmrg.jobs import seeds
from llmrg.jobs.build_graphs import build_prepared
from llmrg.jobs.demo import SYSTEMS, _cases_of_stories, _explained_users, _notes, demo
from llmrg.jobs.experiment import run_systems
from llmrg.jobs.prepare import prepare
from llmrg.jobs.recommend import read_best, recommend_to
from llmrg.jobs.seeds import Task, share_cores, train_one
from llmrg.jobs.systems import (
    Place,
    _sequence_tables,
    attach_graphs,
    check_systems,
    create_recommender,
    known_at_test,
    make_system,
    starts_at_test,
)
from llmrg.training.progress import Display
from llmrg.types import Item, ItemId

SMALL = {
    "recommender__settings": "{hidden_size=8, num_layers=1}",
    "train__device": "cpu",
    "train__epochs": 2,
    "train__seeds": "[0]",
    "data__max_length": 20,
}
GRAPH_PART = '{host_loss=0.0, coverage="last", host_rate=0.0}'


@pytest.mark.parametrize(
    ("overrides", "problem"),
    [
        ({"fusion__settings": "{host_rat=0.0}"}, "did you mean 'host_rate'"),
        ({"fusion__settings": '{coverage="newest"}'}, "coverage is one of .*'newest'"),
        ({"fusion__settings": "{training=1}"}, r"\[fusion\] settings cannot hold 'training'"),
        ({"recommender__settings": "{checkpoint=1}"}, r"\[recommender\] .* 'checkpoint'"),
        ({"recommender__settings": "{hiden_size=8}"}, "did you mean 'hidden_size'"),
        ({"recommender__name": "sasrecc"}, "did you mean 'sasrec'"),
        ({"fusion__settings": GRAPH_PART, "fusion__warm_start": "false"}, "host_rate = 0"),
        ({"train__device": "cuda:99"}, "cuda:99"),
    ],
)
def test_a_wrong_setting_stops_the_demo_before_any_graph_is_built(make_job, overrides, problem):
    job = make_job(**{**SMALL, **overrides})
    with pytest.raises(ConfigError, match=problem):
        demo(job)
    assert not job.graphs.path.exists()


def test_what_is_trained_of_a_history_is_a_setting_of_the_fused_model_alone(make_job):
    settings = '{hidden_size=8, coverage="last"}'
    job = make_job(**{**SMALL, "recommender__settings": settings})
    host = create_recommender("host", job, Place(0, job.run.path))
    fused = create_recommender("llmrg", job, Place(0, job.run.path))
    assert (host.coverage, fused.coverage) == ("last", "all")


def test_without_torch_training_is_refused_early_and_baselines_still_work():
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from llmrg.config import Job\n"
        "from llmrg.errors import MissingExtra\n"
        "from llmrg.jobs.systems import check_systems, device_type\n"
        "job = Job(_file={'job': 'demo'})\n"
        "check_systems(['popular', 'item_knn'], job)\n"
        "for check in (lambda: check_systems(['host'], job), lambda: device_type(job)):\n"
        "    try:\n        check()\n"
        "    except MissingExtra as error:\n        print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines() == ['training needs torch; run: pip install "llmrg[learn]"'] * 2


def test_learning_rates_are_those_of_their_tables(make_job):
    def rate(key, **overrides):
        job = make_job(**{**SMALL, "train__learning_rate": 0.004, **overrides})
        return create_recommender(key, job, Place(0, job.run.path, job.run.path)).training

    assert rate("host", fusion__learning_rate=0.001).learning_rate == 0.004
    assert rate("sequence", fusion__learning_rate=0.001).learning_rate == 0.001
    assert rate("sequence").learning_rate == 0.004


def test_the_share_of_the_cores_follows_from_the_number_of_trainings(monkeypatch):
    monkeypatch.setattr(seeds, "_cores", lambda: 8)
    assert [share_cores(n) for n in (1, 3, 8, 11)] == [(1, 8), (3, 2), (8, 1), (8, 1)]
    monkeypatch.setattr(seeds, "_cores", lambda: 1)
    assert share_cores(5) == (1, 1)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A host and the sequence-graph control that starts from it, trained in workers."""
    folder = tmp_path_factory.mktemp("trained")
    table = {
        "job": "train",
        "data": {"name": "ml-latest-small"},
        "run": {"path": folder / "run"},
        "fusion": {"kind": "concat", "graph": "sequence"},
    }
    changes = [f"{key.replace('__', '.')}={value}" for key, value in SMALL.items()]
    changes.append(f"fusion.settings={GRAPH_PART}")
    job = Job(_file=table, _set=parse_overrides(changes))
    return job, run_systems(job, prepare(job), {"sequence": job.run.path})


def test_a_run_tells_what_trained_it_and_trains_again_to_the_same_bytes(trained):
    job, (host, run) = trained
    assert (host.name, run.name) == ("sasrec", "sasrec + sequence graph")
    seed = job.run.path / "seed-0"
    result = json.loads((seed / "result.json").read_text())
    assert result["versions"]["torch"]
    assert run.manifest["versions"] == result["versions"]
    assert run.manifest["machine"] == result["machine"]
    assert not list(job.run.path.rglob("checkpoint*"))
    before = {name: (seed / name).read_bytes() for name in ("model.safetensors", "test.parquet")}
    untouched = (job.run.path / "host" / "seed-0" / "result.json").stat().st_mtime_ns
    (seed / "result.json").unlink()
    run_systems(job, prepare(job), {"sequence": job.run.path})
    assert {name: (seed / name).read_bytes() for name in before} == before
    assert (job.run.path / "host" / "seed-0" / "result.json").stat().st_mtime_ns == untouched


def test_the_control_of_a_frozen_host_keeps_the_host_bit_by_bit(trained):
    from safetensors.numpy import load_file

    job, _ = trained
    host = load_file(job.run.path / "host" / "seed-0" / "model.safetensors")
    fused = load_file(job.run.path / "seed-0" / "model.safetensors")
    for name, array in host.items():
        np.testing.assert_array_equal(fused[f"model.host.{name}"], array, err_msg=name)


def test_an_unknown_user_is_told_who_can_be_asked_for(trained):
    job, _ = trained
    with pytest.raises(DataError, match=r"'nobody': only tested users .* such as '1'"):
        recommend_to(job.run.path, "nobody", 3)
    assert recommend_to(job.run.path, "1", 2)["recommendations"][1]["rank"] == 2


def test_files_of_another_training_never_pass_for_a_finished_one(few_users, make_job, monkeypatch):
    job = make_job(**SMALL)
    folder = job.run.path / "seed-0"
    for name in ("checkpoint-old", "checkpoint-new"):
        (folder / name).mkdir(parents=True)
    (folder / "result.json").write_text('{"fingerprint": "old"}')
    task = Task(job, "popular", "popular", 0, folder, "new")
    assert not task.finished
    assert replace(task, mark="old").finished

    def fail(*_):
        raise ConfigError("stopped here")

    monkeypatch.setattr(seeds, "attach_graphs", fail)
    with pytest.raises(ConfigError, match="stopped here"):
        train_one(task, prepared_from(few_users))
    assert [path.name for path in folder.iterdir()] == ["checkpoint-new"]
    monkeypatch.undo()
    train_one(task, prepared_from(few_users))
    assert task.finished
    assert not (folder / "checkpoint-new").exists()


def test_a_worker_loads_the_data_of_a_job_once(make_job):
    one, other = make_job(**SMALL), make_job(**SMALL, run__path="elsewhere")
    assert seeds._data_of(one) is seeds._data_of(other)
    cut = make_job(**SMALL, data__min_interactions=6)
    assert seeds._data_of(cut) is not seeds._data_of(one)


def test_workers_end_when_their_parent_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(
        "import multiprocessing, os, time\n"
        "from concurrent.futures import ProcessPoolExecutor\n"
        "from llmrg.jobs.seeds import _start_worker\n"
        "if __name__ == '__main__':\n"
        "    context = multiprocessing.get_context('spawn')\n"
        "    pool = ProcessPoolExecutor(1, context, _start_worker, (1,))\n"
        "    print(pool.submit(os.getpid).result(), flush=True)\n"
        "    pool.submit(time.sleep, 120).result()\n"
    )
    process = subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    try:
        process.communicate(timeout=30)  # ends once nobody holds the worker's standard output
    except subprocess.TimeoutExpired:
        os.kill(worker, signal.SIGKILL)
        pytest.fail("the worker outlived its parent")
    finally:
        process.stdout.close()
        process.wait()


def test_a_worker_process_never_draws_a_bar(monkeypatch):
    terminal = Console(force_terminal=True)
    assert Display("sasrec", 3, console=terminal)._bar is not None
    monkeypatch.setattr(multiprocessing, "parent_process", lambda: object())
    assert Display("sasrec", 3, console=terminal)._bar is None


@pytest.fixture
def built(few_users, make_job):
    """A job whose graphs are built, and its data."""
    job = make_job(**SMALL)
    prepared = prepared_from(few_users)
    build_prepared(job, prepared)
    return job, prepared


def test_other_graphs_make_another_system_even_if_the_manifest_is_the_same(built):
    job, _ = built
    before = make_system("llmrg", job).settings
    shard = sorted((job.graphs.path / "test").glob("*.parquet"))[0]
    graphs = list(read_graphs(shard))
    write_shard(shard, graphs[1:])
    after = make_system("llmrg", job).settings
    assert before["graphs"] == after["graphs"]
    assert before["shards"]["train"] == after["shards"]["train"]
    assert before["shards"]["test"] != after["shards"]["test"]


def test_a_test_time_graph_that_saw_the_test_item_is_refused(built):
    job, prepared = built
    recommender = create_recommender("llmrg", job, Place(0, job.run.path))
    attach_graphs("llmrg", job, recommender, prepared)
    shard = sorted((job.graphs.path / "test").glob("*.parquet"))[0]
    first, *others = read_graphs(shard)
    write_shard(shard, [replace(first, observed_until=first.observed_until + 1), *others])
    with pytest.raises(LeakageError, match=f"user '{first.user_id}'"):
        attach_graphs("llmrg", job, recommender, prepared)


def test_stories_are_found_in_the_arrays_as_in_the_graphs_themselves(built):
    job, prepared = built
    graphs = [graph.extended() for graph in read_graphs(job.graphs.path / "test")]
    every_item = [item.item_id for item in prepared.dataset.catalog.items]
    rng = np.random.default_rng(0)
    best = pd.DataFrame(
        [(g.user_id, item) for g in graphs for item in rng.choice(every_item, 300)],
        columns=["user_id", "item_id"],
    )
    imagined = {
        graph.user_id: {
            step.node.key
            for step in graph.steps
            if step.origin == "imagined" and step.node.kind == "item"
        }
        for graph in graphs
    }
    expected = {u for u, item in best.itertuples(index=False) if item in imagined[u]}
    assert 0 < len(expected) < len(graphs)
    table = GraphTable.load(job.graphs.path / "test")
    assert (table.origin == IMAGINED).any()
    assert set(_explained_users(best, table)) == expected


def test_stories_are_the_best_the_first_quarter_and_the_median_or_the_nearest_explained():
    ranks = np.array([9, 1, 0, 3, 5, 7, 2, 4])  # in order: cases 1, 6, 3, 7, 4, 5, 0, 2
    everybody, nobody = np.ones(8, dtype=bool), np.zeros(8, dtype=bool)
    assert _cases_of_stories(ranks, everybody, nobody) == [1, 3, 4]
    explained = np.isin(np.arange(8), [6, 7, 2])
    assert _cases_of_stories(ranks, everybody, explained) == [6, 7, 2]
    without = np.isin(np.arange(8), [1, 6, 7], invert=True)  # 1 and 6 have no graph, nor has 7
    assert _cases_of_stories(ranks, without, explained) == [3, 2]
    assert _cases_of_stories(ranks[:1], everybody[:1], nobody[:1]) == [0]


def test_the_best_items_are_those_of_the_first_seed(tmp_path):
    rows = [("u", f"i{10 * seed + rank}", rank, 1.0 / rank, "i1", seed)
            for seed in (4, 7) for rank in (1, 2, 3)]  # fmt: skip
    names = ["user_id", "item_id", "rank", "score", "target", "seed"]
    pd.DataFrame(rows, columns=names).to_parquet(tmp_path / "predictions.parquet")
    (tmp_path / "report.json").write_text('{"seeds": [4, 7]}')
    assert read_best(tmp_path, 2)["item_id"].tolist() == ["i41", "i42"]


def test_notes_speak_of_folds_only_where_the_catalogue_reasoned(make_job):
    job = make_job(**SMALL)
    by_catalog, by_model = (_notes(job, name, []) for name in ("catalog:1a", "openai:gpt-x"))
    assert "other folds" in " ".join(by_catalog)
    assert "folds" not in " ".join(by_model)
    assert "never the test item" in " ".join(by_model)


def data_of(*sequences: list[int], num_items: int = 9) -> Dataset:
    catalog = Catalog(tuple(Item(ItemId(f"i{n}"), f"T{n}") for n in range(1, num_items + 1)))
    users = np.array([f"u{row}" for row in range(len(sequences))], dtype=object)
    offsets = np.concatenate([[0], np.cumsum([len(s) for s in sequences])]).astype(np.int64)
    items = np.array([n for s in sequences for n in s], dtype=np.int32)
    return Dataset("tiny", Histories(users, offsets, items), catalog)


def test_at_test_time_a_user_is_known_up_to_the_test_item():
    known = known_at_test(prepared_from(data_of([1, 2, 3, 4, 5], [6, 7], [3, 1, 2])))
    assert [known.of(row).tolist() for row in range(3)] == [[1, 2, 3, 4], [6, 7], [3, 1]]


def test_the_control_covers_the_same_items_at_test_time_as_graphs_that_only_grow(make_job):
    prepared = prepared_from(data_of([1, 2, 3, 4, 5, 6, 7], [6, 7], [3, 1, 2]))
    train, test = _sequence_tables(make_job(**{**SMALL, "data__max_length": 3}), prepared)
    assert train.observed_from.tolist() == [2, 0, 0]
    assert test.observed_from.tolist() == [2, 0, 0]
    assert test.observed_until.tolist() == [6, 2, 2]
    assert [test.keys[n] for n in test.node[: test.offsets[1]]] == ["i3", "i4", "i5", "i6"]


def test_more_new_items_than_a_window_holds_start_the_graph_afresh():
    train, known = np.array([10, 10, 10, 2, 0]), np.array([10, 13, 14, 5, 0])
    assert starts_at_test(train, known, 3).tolist() == [7, 7, 11, 0, 0]


def test_every_system_of_the_demo_can_be_made_from_its_settings(make_job):
    check_systems(SYSTEMS, make_job(**SMALL, fusion__settings=GRAPH_PART))
