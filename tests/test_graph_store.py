"""Graphs survive storage whole, files appear whole or not at all, and a bad file is named."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from random_graphs import HOSTILE, graphs

from llmrg import graph_store
from llmrg.errors import GraphError, ResourceError
from llmrg.graph_store import GraphTable, from_json, read_graph, read_graphs, to_json, write_shard
from llmrg.types import Node, ReasoningGraph, Step, UserId, Verdict

FORMAT = Path(__file__).parents[1] / "graphs"
EXAMPLES = sorted((FORMAT / "examples").glob("*.json"))
SCHEMA = json.loads((FORMAT / "reasoning_graph.schema.json").read_text(encoding="utf-8"))

VERDICT = Verdict(87.5, True, None, "2", "Heat", "test", "digest")


def step(key: str, position: int, parent: int = -1, origin: str = "observed") -> Step:
    verdict = VERDICT if parent >= 0 else None
    return Step(Node("item", key, f"title {key}"), "because", origin, position, parent, verdict)


def graph(user: str = "u", *steps: Step) -> ReasoningGraph:
    steps = steps or (step("1", 0), step("2", 1, 0), step("3", 1, 1, "imagined"))
    return ReasoningGraph(UserId(user), steps, 0, 2, "test")


@given(st.lists(graphs(HOSTILE), max_size=4, unique_by=lambda g: g.user_id))
@settings(deadline=None, max_examples=30, suppress_health_check=list(HealthCheck))
def test_graphs_read_from_parquet_equal_those_written_hostile_text_included(tmp_path, written):
    write_shard(tmp_path / "shard.parquet", written)
    assert list(read_graphs(tmp_path / "shard.parquet")) == written


@given(graphs(HOSTILE))
@settings(deadline=None, max_examples=30)
def test_a_graph_parsed_from_json_equals_the_one_written_and_fits_the_schema(written):
    text = to_json(written)
    assert from_json(text) == written
    jsonschema.validate(json.loads(text), SCHEMA)


def test_a_graph_without_steps_is_stored_too():
    empty = ReasoningGraph(UserId("nobody"), (), 0, 0, "test")
    assert from_json(to_json(empty)) == empty


def test_a_folder_is_read_in_the_order_of_its_shards_names(tmp_path):
    write_shard(tmp_path / "b.parquet", [graph("third")])
    write_shard(tmp_path / "a.parquet", [graph("first"), graph("second")])
    (tmp_path / "notes.txt").write_text("not a shard")
    assert [g.user_id for g in read_graphs(tmp_path)] == ["first", "second", "third"]
    assert read_graph(tmp_path, "third") == graph("third")


def test_asking_for_a_user_without_a_graph_names_the_user(tmp_path):
    write_shard(tmp_path / "a.parquet", [graph("u")])
    with pytest.raises(GraphError, match="no graph of user 'v'"):
        read_graph(tmp_path, "v")


def test_the_same_graphs_give_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        write_shard(tmp_path / f"{name}.parquet", [graph("u"), graph("v")])
    assert (tmp_path / "a.parquet").read_bytes() == (tmp_path / "b.parquet").read_bytes()


def test_a_failed_write_leaves_the_old_shard_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "a.parquet"
    write_shard(path, [graph("old")])

    def broken(table, file, **_):
        file.write_bytes(b"half a file")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", broken)
    with pytest.raises(OSError, match="disk full"):
        write_shard(path, [graph("new")])
    assert [g.user_id for g in read_graphs(path)] == ["old"]
    assert list(tmp_path.iterdir()) == [path]


def test_half_of_a_surrogate_pair_is_refused_with_its_place(tmp_path):
    bad = graph("u", replace(step("1", 0), reason="broken \ud83d emoji"))
    with pytest.raises(GraphError, match="user 'u', step 0: reason"):
        write_shard(tmp_path / "a.parquet", [bad])
    with pytest.raises(GraphError, match="user 'u', step 0: reason"):
        to_json(bad)
    with pytest.raises(GraphError):
        from_json(to_json(graph()).replace("title 1", "\\ud83d"))


def test_one_user_cannot_have_two_graphs(tmp_path):
    with pytest.raises(GraphError, match="user 'u' has more than one graph"):
        write_shard(tmp_path / "a.parquet", [graph("u"), graph("u")])
    write_shard(tmp_path / "a.parquet", [graph("u")])
    write_shard(tmp_path / "b.parquet", [graph("u")])
    with pytest.raises(GraphError, match="user 'u' has more than one graph"):
        GraphTable.load(tmp_path)


@pytest.mark.parametrize(
    ("steps", "problem"),
    [
        ([step("1", 0, 0)], "parent 0 does not come before it"),
        ([step("1", 0), step("2", 1, -2)], "parent -2 does not come before it"),
        ([step("1", 0, -1, "imagined")], "an imagined step needs a parent"),
        (
            [step("1", 0), step("2", 0, 0, "imagined"), step("3", 1, 1)],
            "step 2: an observed step follows imagined step 1",
        ),
        ([step("1", 1), step("2", 0, 0)], "position 0 is before that of its parent"),
        ([step("1", 2)], "position 2 is outside"),
        ([step("1", 0, -1, "guessed")], "origin 'guessed' is not one of observed, imagined"),
        ([replace(step("1", 0), node=Node("film", "1", "a"))], "kind 'film' is not one of item"),
        ([replace(step("1", 0), reason=None)], "reason is missing"),
        ([replace(step("1", 0), verdict=replace(VERDICT, score=101))], "score 101.0 is not in"),
        ([replace(step("1", 0), verdict=replace(VERDICT, score=np.nan))], "score nan is not in"),
        ([replace(step("1", 0), verdict=replace(VERDICT, chance=-1.0))], "chance -1.0 is not in"),
        ([replace(step("1", 0), verdict=replace(VERDICT, hidden=None))], "score and hidden must"),
        ([step("1", 2**40)], "position 1099511627776 cannot be stored as int32"),
    ],
)
def test_a_graph_that_breaks_a_rule_is_refused_with_user_and_step(tmp_path, steps, problem):
    with pytest.raises(GraphError, match=problem) as caught:
        write_shard(tmp_path / "a.parquet", [graph("fine"), graph("broken", *steps)])
    assert "user 'broken', step" in str(caught.value)
    assert not list(tmp_path.iterdir())


def rewrite(path: Path, change) -> None:
    table = change(pq.read_table(path))
    pq.write_table(table, path)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.drop_columns("reason"), "column 'reason' is missing"),
        (lambda t: t.append_column("mood", t["key"]), "unknown column 'mood'"),
        (lambda t: t.replace_schema_metadata({}), "not a graph shard"),
        (
            lambda t: t.replace_schema_metadata({"llmrg.graph_schema_version": "2"}),
            "graph schema 2 is newer than 1",
        ),
        (
            lambda t: t.set_column(6, "kind", pa.array([b"\xff"] * 3)),
            "column 'kind' is binary, expected string",
        ),
        (lambda t: t.slice(1), "step 1: step numbers must go"),
        (lambda t: t.take([0, 2]), "step 2: step numbers must go"),
        (lambda t: t.set_column(0, "user_id", pa.array(["u", "u", "v"])), "user_id 'v' differs"),
        (lambda t: t.set_column(4, "step", pa.array([0, 1, None])), "column 'step' has empty"),
    ],
)
def test_a_shard_that_breaks_the_format_is_refused_with_file_and_place(tmp_path, change, problem):
    path = tmp_path / "a.parquet"
    write_shard(path, [graph("u")])
    rewrite(path, change)
    with pytest.raises(GraphError, match=problem) as caught:
        list(read_graphs(tmp_path))
    assert str(path) in str(caught.value)


def test_a_truncated_shard_is_refused_by_name(tmp_path):
    path = tmp_path / "a.parquet"
    write_shard(path, [graph("u")])
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(GraphError, match=r"a\.parquet: not a readable Parquet file"):
        list(read_graphs(path))


def test_a_missing_shard_and_an_empty_folder_say_what_to_do(tmp_path):
    for path in (tmp_path, tmp_path / "none.parquet"):
        with pytest.raises(ResourceError, match="build graphs first"):
            list(read_graphs(path))


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "not JSON"),
        ("[1]", "document"),
        (to_json(graph()).replace('"schema_version": 1', '"schema_version": 2'), "is newer than 1"),
        (to_json(graph()).replace('"reasoner": "test",\n  "steps"', '"steps"'), "reasoner"),
        (to_json(graph()).replace('"position": 1', '"position": "1"', 1), r"steps\.1\.position"),
        (to_json(graph()).replace('"text"', '"txt"', 1), r"steps\.0\.node"),
        (to_json(graph()).replace('"parent": 0', '"parent": 4'), "parent 4 does not come before"),
    ],
)
def test_a_json_graph_that_breaks_the_format_is_refused_with_its_place(text, problem):
    with pytest.raises(GraphError, match=problem):
        from_json(text)


def test_a_graph_of_another_schema_version_is_not_written():
    with pytest.raises(GraphError, match="schema_version 9 cannot be written"):
        to_json(replace(graph(), schema_version=9))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_fits_the_schema_and_is_written_back_unchanged(path):
    text = path.read_text(encoding="utf-8")
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(json.loads(text), SCHEMA)
    assert to_json(from_json(text)) == text


def test_there_are_three_examples_with_items_attributes_profiles_and_imagined_steps():
    steps = [step for path in EXAMPLES for step in from_json(path.read_text("utf-8")).steps]
    assert len(EXAMPLES) == 3
    assert {step.node.kind for step in steps} >= {"item", "attribute", "profile"}
    assert {step.origin for step in steps} == {"observed", "imagined"}


def test_the_readme_tells_what_until_n_gives_for_the_continued_tip():
    example = from_json((FORMAT / "examples" / "continued_tip.json").read_text("utf-8"))
    readme = (FORMAT / "README.md").read_text("utf-8")
    for n in range(5):
        kept = [example.steps.index(s) for s in example.steps if kept_in(s, example.until(n))]
        listed = ", ".join(map(str, kept)) or "none"
        assert f"| {n} | {listed} |" in readme


def kept_in(step: Step, graph: ReasoningGraph) -> bool:
    return any(step.node == kept.node for kept in graph.steps)


@given(st.lists(graphs(), max_size=5, unique_by=lambda g: g.user_id))
@settings(deadline=None, max_examples=80)
def test_a_table_holds_the_same_steps_as_its_graphs(written):
    table = GraphTable.of(written)
    steps = [s for g in written for s in g.steps]
    assert table.user_ids.tolist() == [g.user_id for g in written]
    assert np.diff(table.offsets).tolist() == [len(g.steps) for g in written]
    assert table.observed_from.tolist() == [g.observed_from for g in written]
    assert table.observed_until.tolist() == [g.observed_until for g in written]
    assert table.parent.tolist() == [s.parent for s in steps]
    assert table.position.tolist() == [s.position for s in steps]
    assert table.origin.tolist() == [int(s.origin == "imagined") for s in steps]
    assert table.alive_until.tolist() == [n for g in written for n in g.alive_until]
    nodes = [Node(graph_store.KINDS[table.kinds[n]], table.keys[n], table.texts[n])
             for n in table.node]  # fmt: skip
    assert nodes == [s.node for s in steps]
    assert len(table.keys) == len(set(nodes))
    expected = [np.nan if s.verdict is None else s.verdict.score for s in steps]
    np.testing.assert_allclose(table.score, expected, rtol=1e-6, atol=1e-30)


def test_a_table_is_loaded_from_shards_and_finds_its_users(tmp_path):
    write_shard(tmp_path / "a.parquet", [graph("u"), ReasoningGraph(UserId("e"), (), 0, 0, "t")])
    write_shard(tmp_path / "b.parquet", [graph("v")])
    table = GraphTable.load(tmp_path)
    assert table.user_ids.tolist() == ["u", "e", "v"]
    assert table.offsets.tolist() == [0, 3, 3, 6]
    assert table.num_steps == 6
    assert table.kind.tolist() == [0] * 6
    assert table.row_of(["v", "nobody", "u"]).tolist() == [2, -1, 0]


def test_a_very_long_imagined_chain_dies_with_its_tip():
    chain = [step(str(i), 0, i - 1, "imagined") for i in range(1, 3000)]
    long = graph("u", step("0", 0), *chain, step("end", 1, 0))
    assert GraphTable.of([long]).alive_until.tolist() == [2, *[1] * 2999, 2]


def test_the_store_never_imports_torch():
    code = "import sys, llmrg.graph_store; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
