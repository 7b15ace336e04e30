from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from small_jobs import agreeable, contents, knowledge_rows, prepared_from, scripted_reasoners

from llmrg.data.catalog import Catalog
from llmrg.errors import ConfigError, Refused, ReplyError, Unavailable
from llmrg.graph_store import read_graphs
from llmrg.jobs.build_graphs import build_prepared
from llmrg.jobs.graph_figures import graph_report, hit_curve, read_summary, stage_calls
from llmrg.jobs.prepare import Prepared
from llmrg.jobs.rounds import BuiltUser, RoundFiles, plan_rounds, write_user
from llmrg.llm.base import Reply, Usage
from llmrg.llm.scripted import Scripted
from llmrg.llm.wrappers import Metered
from llmrg.types import Node, ReasoningGraph, Step, UserId


def test_rounds_double_up_to_their_size_and_cover_everybody_once():
    sizes = [each.end - each.start for each in plan_rounds(100, 32)]
    assert sizes == [4, 8, 16, 32, 32, 8]
    assert plan_rounds(0, 32) == []
    assert [each.end for each in plan_rounds(5, 2)] == [2, 4, 5]


def test_a_finished_job_run_again_does_nothing_and_says_the_same(few_users, make_job):
    job = make_job()
    first = build_prepared(job, prepared_from(few_users))
    before, rows = contents(job.graphs.path), knowledge_rows(job)
    assert build_prepared(job, prepared_from(few_users)) == first
    assert contents(job.graphs.path) == before
    assert knowledge_rows(job) == rows


def test_every_training_item_is_in_its_users_graph(few_users, make_job):
    job = make_job()
    prepared = prepared_from(few_users)
    summary = build_prepared(job, prepared)
    graphs = list(read_graphs(job.graphs.path / "train"))
    assert summary.users == len(graphs) == len(few_users.histories)
    for row, graph in enumerate(graphs):
        items = {s.position: s.node.key for s in graph.steps
                 if s.origin == "observed" and s.node.kind == "item"}  # fmt: skip
        taken = [few_users.catalog.item(i).item_id for i in prepared.split.train.of(row)]
        assert [items[position] for position in range(len(taken))] == taken


def test_another_setting_is_refused_with_the_way_out(few_users, make_job):
    build_prepared(make_job(), prepared_from(few_users))
    with pytest.raises(ConfigError, match=r"another settings.*delete this one"):
        build_prepared(make_job(verify__threshold=80), prepared_from(few_users))


def test_a_limited_job_is_a_rehearsal_that_the_whole_job_profits_from(few_users, make_job):
    limited, fresh = make_job("limited"), make_job("fresh")
    build_prepared(limited, prepared_from(few_users), limit=6)
    assert len(list(read_graphs(limited.graphs.path.with_name("graphs-first-6") / "train"))) == 6
    build_prepared(limited, prepared_from(few_users))
    build_prepared(fresh, prepared_from(few_users))
    assert contents(limited.graphs.path) == contents(fresh.graphs.path)


def test_concurrency_does_not_change_a_byte(few_users, make_job):
    one, many = make_job("one", llm__concurrency=1), make_job("many", llm__concurrency=64)
    for job in (one, many):
        build_prepared(job, prepared_from(few_users))
    assert contents(one.graphs.path) == contents(many.graphs.path)
    assert knowledge_rows(one) == knowledge_rows(many)


def test_one_failed_user_is_kept_as_a_failure_and_tried_again(few_users, make_job, monkeypatch):
    broken = {"on": True}

    def answer(request):
        title = "Toy Story (1995)"
        if broken["on"] and request.stage == "chain" and title in request.messages[1].content:
            return Unavailable("the server is overloaded")
        return agreeable(request)

    scripted_reasoners(monkeypatch, Scripted(answer))
    job = make_job()
    prepared = prepared_from(few_users)
    first = build_prepared(job, prepared)
    assert 0 < len(first.failed) < len(few_users.histories)
    assert first.users == len(few_users.histories) - len({user.row for user in first.failed})
    assert "overloaded" in first.failed[0].error
    broken["on"] = False
    second = build_prepared(job, prepared)
    assert not second.failed
    assert second.users == len(few_users.histories)

    tested = {graph.user_id for graph in read_graphs(job.graphs.path / "test")}
    assert tested == set(few_users.histories.user_ids), "a user who failed lacks a test graph"
    # Only links of the rounds that went on without them may differ from an undisturbed run's.
    clean = make_job("clean")
    build_prepared(clean, prepared)
    first_round = "train/users-0000000-0000004.parquet"
    assert contents(clean.graphs.path)[first_round] == contents(job.graphs.path)[first_round]
    assert contents(clean.graphs.path).keys() == contents(job.graphs.path).keys()


def test_a_wrong_key_stops_the_job_at_once_and_says_so(few_users, make_job, monkeypatch):
    llm = Scripted(lambda request: Refused("401: wrong key", every_request=True))
    scripted_reasoners(monkeypatch, llm)
    with pytest.raises(Refused, match="wrong key"):
        build_prepared(make_job(llm__concurrency=2), prepared_from(few_users))
    assert len(llm.requests) <= 4  # nobody beyond the first round was asked about


def test_one_refused_user_does_not_block_the_job(few_users, make_job, monkeypatch):
    victim = few_users.catalog.item(int(few_users.histories.of(4)[0])).title

    def answer(request):
        data = json.loads(request.messages[1].content.partition("Data:")[2])
        if request.stage == "chain" and data["next"]["title"] == victim:
            return Refused("withheld by a content filter")
        return agreeable(request)

    scripted_reasoners(monkeypatch, Scripted(answer))
    summary = build_prepared(make_job(), prepared_from(few_users), limit=5)
    assert 4 in {user.row for user in summary.failed}
    assert summary.users == 5 - len({user.row for user in summary.failed})


def test_a_reasoner_that_only_talks_nonsense_is_no_success(few_users, make_job, monkeypatch):
    scripted_reasoners(monkeypatch, Scripted(lambda request: "I am sorry."))
    with pytest.raises(ReplyError, match=r"not one of \d+ answers"):
        build_prepared(make_job(), prepared_from(few_users))


def test_a_job_without_verification_teaches_nothing_to_one_with_it(few_users, make_job):
    loose = make_job("loose", verify__threshold=0)
    build_prepared(loose, prepared_from(few_users))
    assert knowledge_rows(loose)["links"] == []
    alone = make_job("alone")
    after = make_job("after", knowledge__url=loose.knowledge.url)
    for job in (alone, after):
        build_prepared(job, prepared_from(few_users))
    assert contents(alone.graphs.path) == contents(after.graphs.path)


def test_other_titles_are_other_graphs(few_users, make_job):
    build_prepared(make_job(), prepared_from(few_users))
    items = few_users.catalog.items
    renamed = Catalog((replace(items[0], title="Another Name (1995)"), *items[1:]))
    with pytest.raises(ConfigError, match="another words"):
        build_prepared(make_job(), prepared_from(replace(few_users, catalog=renamed)))


def test_a_line_that_a_kill_cut_inside_a_character_is_dropped(tmp_path):
    step = Step(Node("item", "1", "Amélie"), "", "observed", 0)
    graph = ReasoningGraph(UserId("u"), (step,), 0, 1, "scripted")
    files = RoundFiles(tmp_path, "users-0000000-0000002")
    with files.append() as file:
        write_user(file, BuiltUser(0, graph, Counter({"chain.asked": 1})))
    partial = tmp_path / "users-0000000-0000002.partial.jsonl"
    whole = partial.read_bytes()
    partial.write_bytes(whole + '{"row": 1, "graph": "é'.encode()[:-1])
    assert files.read_partial() == {0: BuiltUser(0, graph, Counter({"chain.asked": 1}))}
    assert partial.read_bytes() == whole


def test_test_graphs_far_ahead_of_training_are_built_from_the_newest_window(few_users, make_job):
    job = make_job(data__max_length=4)
    prepared = prepared_from(few_users)
    short = few_users.histories.head(np.full(len(few_users.histories), 6))
    behind = Prepared(few_users, replace(prepared.split, train=short))
    build_prepared(job, behind, limit=3)
    for graph in read_graphs(job.graphs.path.with_name("graphs-first-3") / "test"):
        assert graph.observed_until == 19
        assert graph.observed_from == 15


def test_a_round_in_which_nobody_is_answered_stops_the_job(few_users, make_job, monkeypatch):
    scripted_reasoners(monkeypatch, Scripted(lambda request: Unavailable("down")))
    job = make_job()
    with pytest.raises(Unavailable, match=r"nobody in round.*down.*again to resume"):
        build_prepared(job, prepared_from(few_users))
    assert not list((job.graphs.path / "train").glob("*.parquet"))


def test_tokens_are_added_up_over_all_runs(few_users, make_job, monkeypatch):
    def answer(request):
        return Reply(str(agreeable(request)), usage=Usage(input_tokens=10, output_tokens=3))

    scripted_reasoners(monkeypatch, Metered(Scripted(answer)))
    job = make_job()
    build_prepared(job, prepared_from(few_users))
    figures = graph_report(job.graphs.path)["llm"]
    assert figures["tokens"] == {"input": 10 * figures["calls"], "output": 3 * figures["calls"]}
    scripted_reasoners(monkeypatch, Metered(Scripted(answer)))
    build_prepared(job, prepared_from(few_users))  # nothing is left to ask
    assert graph_report(job.graphs.path)["llm"]["tokens"] == figures["tokens"]


def test_the_knowledge_base_saves_questions(few_users, make_job):
    using, without = make_job("with"), make_job("without", knowledge__enabled=False)
    asked = []
    for job in (using, without):
        build_prepared(job, prepared_from(few_users))
        calls = {stage.stage: stage for stage in stage_calls(read_summary(job.graphs.path))}
        asked.append(sum(stage.asked for stage in calls.values()))
    assert asked[0] < asked[1]
    curve = hit_curve(using.graphs.path, "hits")
    assert curve.share[0] == 0.0
    assert curve.steps[-1] == few_users.histories.num_interactions - 2 * len(few_users.histories)
    figures = graph_report(using.graphs.path)
    assert figures["llm"]["calls"] == asked[0]
    assert figures["llm"]["recalled"] > 0
    assert figures["graphs"]["steps"] == sum(
        len(graph.steps) for graph in read_graphs(using.graphs.path / "train")
    )


KILLED = """
import sys
from pathlib import Path
from llmrg.config import load_job
from llmrg.jobs.build_graphs import build_graphs
build_graphs(load_job(Path(sys.argv[1])), limit=40)
"""


@pytest.mark.slow
def test_kill_9_at_five_random_moments_changes_nothing(make_job, tmp_path):
    jobs = {}
    for name in ("killed", "whole"):
        folder = tmp_path / name
        jobs[name] = tmp_path / f"{name}.toml"
        jobs[name].write_text(
            'job = "build_graphs"\n[data]\nname = "ml-latest-small"\nmax_length = 30\n'
            f'[graphs]\npath = "{folder}/graphs"\n'
            f'[knowledge]\nurl = "sqlite:///{folder}/knowledge.db"\n'
        )
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", KILLED, str(jobs["whole"])], check=True)
    seconds = time.monotonic() - started
    rng = np.random.default_rng(int.from_bytes(os.urandom(4), "big"))
    kills = 0
    while kills < 5:
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(jobs["killed"])])
        time.sleep(float(rng.uniform(0.3, 1.0)) * seconds * (0.4 + 0.2 * kills))
        process.send_signal(signal.SIGKILL)
        process.wait()
        kills += 1
    subprocess.run([sys.executable, "-c", KILLED, str(jobs["killed"])], check=True)
    one, two = make_job("killed"), make_job("whole")
    for job in (one, two):
        assert job.graphs.path.with_name("graphs-first-40").is_dir()
    assert contents(one.graphs.path.with_name("graphs-first-40")) == contents(
        two.graphs.path.with_name("graphs-first-40")
    )
    assert knowledge_rows(one) == knowledge_rows(two)
