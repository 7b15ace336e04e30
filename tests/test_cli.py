"""The command as people use it: a real small job, then everything that reads its results."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from llmrg import __version__
from llmrg.cli import app, main
from llmrg.errors import DataError

TINY = [
    "data.path={data}", "data.name=tiny", "data.min_interactions=0", "data.max_length=8",
    "graphs.path={out}/graphs", "knowledge.url=sqlite:///{out}/knowledge.db", "run.path={out}/run",
    "recommender.settings={{hidden_size=8, num_layers=1}}", "train.epochs=2", "train.seeds=[0]",
    "train.device=cpu",
]  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    """Thirty users who walk around a circle of twelve films."""
    folder = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(0)
    rows = ["user_id,item_id,timestamp"]
    for user in range(30):
        start, length = int(rng.integers(12)), int(rng.integers(5, 11))
        rows += [f"u{user},i{(start + t) % 12},{1000 + t}" for t in range(length)]
    (folder / "interactions.csv").write_text("\n".join(rows) + "\n")
    genres = ["Drama", "Comedy", "Crime"]
    items = [f'i{n},"Film, the {n}th (19{50 + n})",{genres[n % 3]}' for n in range(12)]
    (folder / "items.csv").write_text("\n".join(["item_id,title,genres", *items]) + "\n")
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory, data) -> Path:
    """A finished demo job on the tiny data."""
    folder = tmp_path_factory.mktemp("out")
    result = CliRunner().invoke(app, ["demo", *settings(data, folder)])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return folder


def settings(data, out):
    pairs = [text.format(data=data, out=out) for text in TINY]
    return [part for pair in pairs for part in ("--set", pair)]


def invoke(*arguments):
    result = CliRunner().invoke(app, [str(each) for each in arguments])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return result.stdout


def test_the_demo_leaves_a_page_the_figures_and_the_predictions(out):
    page = (out / "run" / "report.html").read_text()
    for system in ("popular", "item_knn", "sasrec", "sasrec + sequence graph", "sasrec + LLMRG"):
        assert system in page
    assert "It is not an LLM" in page
    assert page.count("<svg") >= 3
    report = json.loads((out / "run" / "llmrg" / "report.json").read_text())
    test = report["metrics"]["test"]
    assert test["ndcg@10.low"] <= test["ndcg@10"] <= test["ndcg@10.high"]
    assert report["train"]["targets_per_second"] > 0
    assert report["graphs"]["users"] == 30
    assert report["llm"]["reasoner"].startswith("catalog:")
    assert (out / "run" / "llmrg" / "predictions.parquet").is_file()
    assert (out / "run" / "llmrg" / "seed-0" / "model.safetensors").is_file()
    assert json.loads((out / "run" / "manifest.json").read_text())["versions"]["torch"]


def test_the_demo_run_again_changes_no_figure(data, out):
    before = (out / "run" / "page.json").read_text()
    invoke("demo", *settings(data, out))
    after = (out / "run" / "page.json").read_text()
    clock = re.compile(r'"when": "[^"]*"')
    assert clock.sub("", after) == clock.sub("", before)


def test_figures_can_be_recomputed_from_the_predictions(out):
    import pandas as pd

    table = pd.read_parquet(out / "run" / "llmrg" / "predictions.parquet")
    assert list(table.columns[:5]) == ["user_id", "item_id", "rank", "score", "target"]
    hits = table[(table["item_id"] == table["target"]) & (table["rank"] <= 10)]
    ndcg = (1 / np.log2(hits["rank"] + 1)).sum() / table["user_id"].nunique()
    report = json.loads((out / "run" / "llmrg" / "report.json").read_text())
    assert report["metrics"]["test"]["ndcg@10"] == pytest.approx(ndcg, abs=1e-12)


def test_a_graph_is_shown_as_text_and_as_json(out):
    shown = invoke("graph", "show", "u3", "--graphs", out / "graphs")
    assert "Film, the" in shown
    graph = json.loads(invoke("graph", "show", "u3", "--graphs", out / "graphs", "--json"))
    assert graph["user_id"] == "u3"
    early = json.loads(
        invoke("graph", "show", "u3", "--graphs", out / "graphs", "--until", 2, "--json")
    )
    assert max(step["position"] for step in early["steps"]) == 1


def test_the_knowledge_base_is_counted_and_shown(out):
    url = f"sqlite:///{out}/knowledge.db"
    stats = json.loads(invoke("kb", "stats", "--url", url, "--json"))
    assert stats["links"] == stats["observed"] + stats["imagined"] > 0
    shown = invoke("kb", "show", "--url", url, "--limit", 2)
    assert f"showing 2 of {stats['links']} links" in shown
    found = json.loads(invoke("kb", "show", "9th", "--url", url, "--limit", 1, "--json"))
    assert "9th" in found["links"][0]["source"] + found["links"][0]["target"]
    assert found["links"][0]["reasoner"].startswith("catalog:")


def test_recommendations_come_with_their_chains(out):
    found = json.loads(invoke("recommend", "u3", "--run", out / "run" / "llmrg", "-k", 3, "--json"))
    assert [each["rank"] for each in found["recommendations"]] == [1, 2, 3]
    text = invoke("recommend", "u3", "--run", out / "run" / "llmrg")
    assert "→" in text or "⇢" in text or "no chain names this item" in text


def test_a_user_who_was_not_tested_gets_the_way_out(out):
    result = CliRunner().invoke(app, ["recommend", "nobody", "--run", str(out / "run" / "llmrg")])
    assert result.exit_code == 1
    assert isinstance(result.exception, DataError)
    assert "only tested users have some; choose one of those" in str(result.exception)


def test_the_demo_trains_what_reads_the_graphs_and_leaves_the_host_as_it_was(out):
    from safetensors.numpy import load_file

    host, fused = (
        load_file(out / "run" / name / "seed-0" / "model.safetensors") for name in ("host", "llmrg")
    )
    for name, array in host.items():
        np.testing.assert_array_equal(fused[f"model.host.{name}"], array)
    assert np.abs(fused["model.fusion.weight"][:, :16]).max() > 0


def test_runs_are_compared(out):
    folder = out / "compared"
    table = invoke("report", out / "run" / "host", out / "run" / "llmrg", "--out", folder)
    assert "sasrec + LLMRG" in table
    assert (folder / "report.html").is_file()
    everything = json.loads(invoke("report", out / "run", "--out", folder, "--json"))
    assert [row["system"] for row in everything["rows"]][:2] == ["popular", "item_knn"]


def test_a_pipeline_can_be_run_by_name_with_a_limit(data, tmp_path):
    text = invoke("run", "build_graphs", "--limit", 5, *settings(data, tmp_path))
    assert "5 graphs in" in text
    assert (tmp_path / "graphs-first-5" / "manifest.json").is_file()


def test_one_system_is_trained_by_its_pipeline(data, out):
    text = invoke(
        "run", "train", *settings(data, out), "--set", "fusion.kind=none",
        "--set", f"run.path={out}/alone",
    )  # fmt: skip
    assert "sasrec" in text
    assert json.loads((out / "alone" / "report.json").read_text())["system"] == "sasrec"


def test_data_is_listed_described_and_prepared(data, tmp_path):
    assert "development set, not a benchmark" in invoke("data", "list")
    facts = json.loads(invoke("data", "describe", data, "--min-interactions", 0, "--json"))
    assert (facts["users"], facts["items"]) == (30, 12)
    invoke("data", "prepare", data, "--out", tmp_path / "p", "--min-interactions", 0)
    again = json.loads(
        invoke("data", "describe", tmp_path / "p", "--min-interactions", 0, "--json")
    )
    same = ("users", "items", "interactions", "first_timestamp", "last_timestamp")
    assert {key: again[key] for key in same} == {key: facts[key] for key in same}


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["run", "nowhere.toml"], 2, "no such pipeline file"),
        (["demo", "--set", "verify.treshold=1"], 2, "did you mean 'threshold'"),
        (["kb", "stats", "--url", "sqlite:///nowhere.db"], 2, "there is no knowledge base"),
        (["graph", "show", "u", "--graphs", "nowhere"], 2, "nowhere"),
        (["recommend", "u", "--run", "nowhere"], 2, "made by"),
        (["data", "describe", "nowhere"], 2, "nowhere"),
        (["run", "train", "--limit", "3"], 2, "--limit is for build_graphs"),
        (["demo", "--set", "fusion.settings={host_rat=0}"], 2, "did you mean 'host_rate'"),
    ],
)
def test_errors_are_one_line_with_an_exit_code(
    arguments, code, message, monkeypatch, capsys, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["llmrg", *arguments])
    with pytest.raises(SystemExit) as stopped:
        main()
    printed = capsys.readouterr().err
    assert stopped.value.code == code, printed
    assert message in printed
    assert "Traceback" not in printed


def test_the_version_is_printed():
    assert invoke("--version").strip() == f"llmrg {__version__}"
