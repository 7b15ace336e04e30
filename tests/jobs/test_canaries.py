"""Change the future and nothing moves: no graph, no knowledge, no training input knows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from small_jobs import agreeable, contents, knowledge_rows, prepared_from, scripted_reasoners

from llmrg.data.batches import cut_windows
from llmrg.data.splits import leave_one_out
from llmrg.errors import LeakageError
from llmrg.graph_store import read_graph, read_graphs, write_shard
from llmrg.jobs.build_graphs import build_prepared
from llmrg.llm.scripted import Scripted
from llmrg.recommenders.item_knn import ItemKNN
from llmrg.types import Node


def with_items(dataset, items):
    return replace(dataset, histories=replace(dataset.histories, items=items.astype(np.int32)))


def other_items(dataset, places, seed=0):
    """Replace the items at some places by others that their user never took."""
    rng = np.random.default_rng(seed)
    histories = dataset.histories
    items = histories.items.copy()
    users = histories.rows_of_users()
    for place in places:
        taken = set(histories.of(users[place]).tolist()) | {int(items[place])}
        free = [i for i in rng.permutation(dataset.catalog.num_items - 1) + 1 if i not in taken]
        items[place] = free[0]
    return with_items(dataset, items)


def test_replacing_every_held_out_item_changes_nothing_that_is_learned_from(few_users, make_job):
    histories = few_users.histories
    ends = histories.offsets[1:]
    changed = other_items(few_users, np.concatenate([ends - 1, ends - 2]))
    assert not np.array_equal(changed.histories.items, histories.items)
    one, two = make_job("one"), make_job("two")
    build_prepared(one, prepared_from(few_users))
    build_prepared(two, prepared_from(changed))

    assert contents(one.graphs.path / "train") == contents(two.graphs.path / "train")
    assert knowledge_rows(one) == knowledge_rows(two)
    # The one is told apart from the other where it should be: after the validation item.
    assert contents(one.graphs.path / "test") != contents(two.graphs.path / "test")


def test_replacing_every_held_out_item_leaves_features_and_batches_bit_identical(few_users):
    histories = few_users.histories
    ends = histories.offsets[1:]
    changed = other_items(few_users, np.concatenate([ends - 1, ends - 2]))
    splits = [leave_one_out(each.histories) for each in (few_users, changed)]
    assert splits[0].cut() == splits[1].cut()
    batches = [
        list(cut_windows(s.train, 10).epoch(np.random.default_rng(0), max_tokens=200))
        for s in splits
    ]
    for one, two in zip(*batches, strict=True):
        np.testing.assert_array_equal(one.sequences, two.sequences)
        np.testing.assert_array_equal(one.targets, two.targets)
        np.testing.assert_array_equal(one.prefixes, two.prefixes)
    models = [ItemKNN(), ItemKNN()]
    for model, split in zip(models, splits, strict=True):
        model.fit(split.train, few_users.catalog)
    for name, array in models[0].state()[0].items():
        np.testing.assert_array_equal(array, models[1].state()[0][name])


@pytest.mark.parametrize("row", [0, 7, 13, 23])
def test_changing_anything_after_position_n_leaves_the_graph_until_n_bit_identical(
    few_users, make_job, row
):
    """Own-future canary: not even through other users' graphs does a user's future come back."""
    n = 9
    start, end = few_users.histories.offsets[row], few_users.histories.offsets[row + 1]
    changed = other_items(few_users, range(start + n, end), seed=row)
    user_id = str(few_users.histories.user_ids[row])
    graphs, whole = [], []
    for name, dataset in (("one", few_users), ("two", changed)):
        job = make_job(name)
        build_prepared(job, prepared_from(dataset))
        graphs.append(read_graph(job.graphs.path / "train", user_id))
        whole.append(contents(job.graphs.path / "train"))
    assert graphs[0].until(n) == graphs[1].until(n)
    assert graphs[0] != graphs[1]
    # The change did reach others: their reasoner knows this user's behavior.
    assert sum(whole[0][name] != whole[1][name] for name in whole[0]) > 1


def test_with_one_reasoner_for_everybody_the_knowledge_base_still_tells_nothing_of_the_future(
    few_users, make_job, monkeypatch
):
    scripted_reasoners(monkeypatch, Scripted(agreeable))
    row, n = 20, 9
    start, end = few_users.histories.offsets[row], few_users.histories.offsets[row + 1]
    changed = other_items(few_users, range(start + n, end), seed=row)
    graphs = []
    for name, dataset in (("one", few_users), ("two", changed)):
        job = make_job(name)
        build_prepared(job, prepared_from(dataset))
        found = {graph.user_id: graph for graph in read_graphs(job.graphs.path / "train")}
        graphs.append(found)
    user_id = str(few_users.histories.user_ids[row])
    assert graphs[0][user_id].until(n) == graphs[1][user_id].until(n)
    recalled = [step for step in graphs[0][user_id].steps if step.verdict and step.verdict.recalled]
    assert recalled, "nobody taught this user anything, so the test would prove nothing"


def test_a_second_job_on_the_same_knowledge_base_builds_the_same_graphs(few_users, make_job):
    """What later users taught the first job must not come back to earlier ones in the second."""
    first = make_job("first")
    second = make_job("second", knowledge__url=first.knowledge.url)
    for job in (first, second):
        build_prepared(job, prepared_from(few_users))
    assert contents(first.graphs.path / "train") == contents(second.graphs.path / "train")


def test_a_history_cut_short_gives_the_same_graph_so_far(few_users, make_job):
    row, n = 5, 12
    histories = few_users.histories
    kept = histories.lengths.copy()
    kept[row] = n + 2  # two held out
    shorter = replace(few_users, histories=histories.head(kept))
    user_id = str(histories.user_ids[row])
    graphs = []
    for name, dataset in (("one", few_users), ("two", shorter)):
        job = make_job(name)
        build_prepared(job, prepared_from(dataset))
        graphs.append(read_graph(job.graphs.path / "train", user_id))
    assert graphs[0].until(n) == graphs[1].until(n)
    assert graphs[1].observed_until == n


def test_the_test_time_graph_starts_with_the_training_graph(few_users, make_job):
    job = make_job()
    prepared = prepared_from(few_users)
    build_prepared(job, prepared)
    test = {graph.user_id: graph for graph in read_graphs(job.graphs.path / "test")}
    for graph in read_graphs(job.graphs.path / "train"):
        grown = test[graph.user_id]
        assert grown.observed_until == graph.observed_until + 1
        assert grown.until(graph.observed_until) == graph.until(graph.observed_until)


def test_a_planted_graph_that_saw_a_held_out_item_stops_training(few_users, make_job, tmp_path):
    from llmrg.encoding.leakage import check_against
    from llmrg.graph_store import GraphTable

    job = make_job()
    prepared = prepared_from(few_users)
    build_prepared(job, prepared)
    graphs = list(read_graphs(job.graphs.path / "train"))
    train, catalog = prepared.split.train, few_users.catalog
    check_against(GraphTable.of(graphs), train, catalog)

    victim = graphs[3]
    held_out = catalog.item(int(prepared.split.test.targets[3]))
    step = victim.steps[0]
    node = Node("item", held_out.item_id, held_out.title)
    n = victim.observed_until
    planted = replace(
        victim,
        observed_until=n + 2,
        steps=(*victim.steps, replace(step, node=node, position=n + 1, parent=-1)),
    )
    write_shard(tmp_path / "planted" / "x.parquet", [*graphs[:3], planted, *graphs[4:]])
    with pytest.raises(LeakageError, match=str(victim.user_id)):
        check_against(GraphTable.load(tmp_path / "planted"), train, catalog)
