from __future__ import annotations

import pytest

from llmrg.config import load_job, parse_overrides, restore_job
from llmrg.errors import ConfigError
from llmrg.resources import folder


@pytest.fixture
def pipeline(tmp_path):
    def write(text):
        path = tmp_path / "job.toml"
        path.write_text(text)
        return path

    return write


def test_the_command_line_wins_over_the_environment_over_the_file_over_the_default(
    pipeline, monkeypatch
):
    path = pipeline('job = "build_graphs"\n[verify]\nthreshold = 60\n[extend]\nper_chain = 5\n')
    assert load_job(path).verify.threshold == 60
    monkeypatch.setenv("LLMRG_VERIFY__THRESHOLD", "75")
    assert load_job(path).verify.threshold == 75
    job = load_job(path, ["verify.threshold=80"])
    assert (job.verify.threshold, job.extend.per_chain, job.reasoning.max_links) == (80, 5, 2)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[verify]\ntreshold = 70\n", r"unknown key 'treshold' in \[verify\]; did you mean 'thre"),
        ("[verfy]\nthreshold = 70\n", r"unknown key 'verfy' in the file; did you mean 'verify'"),
        ("[verify]\nthreshold = 101\n", r"'threshold' in \[verify\].*100.*\(got 101\)"),
        ('[verify]\nmode = "shut"\n', r"'mode' in \[verify\].*\(got 'shut'\)"),
        ("[train]\nseeds = [1, 1]\n", r"seeds repeat"),
        ("[train]\nseeds = []\n", r"'seeds' in \[train\]"),
    ],
)
def test_a_wrong_key_or_value_is_refused_with_its_place(pipeline, text, message):
    with pytest.raises(ConfigError, match=message):
        load_job(pipeline(f'job = "train"\n{text}'))


def test_a_file_that_names_no_job_or_is_no_toml_is_refused(pipeline, tmp_path):
    with pytest.raises(ConfigError, match="'job' is missing"):
        load_job(pipeline('[data]\nname = "x"\n'))
    with pytest.raises(ConfigError, match="cannot be read"):
        load_job(pipeline("job = \n"))
    with pytest.raises(ConfigError, match="no such pipeline file"):
        load_job(tmp_path / "none.toml")


def test_a_broken_environment_variable_is_named(pipeline, monkeypatch):
    monkeypatch.setenv("LLMRG_TRAIN__SEEDS", "1,2")
    with pytest.raises(ConfigError, match="environment"):
        load_job(pipeline('job = "train"\n'))


def test_a_recorded_job_is_rebuilt_whatever_the_environment_says(pipeline, monkeypatch):
    job = load_job(pipeline('job = "train"\n[verify]\nthreshold = 60\n'))
    monkeypatch.setenv("LLMRG_VERIFY__THRESHOLD", "75")
    assert restore_job(job.model_dump(mode="json"), pipeline("")) == job


def test_overrides_are_toml_values_or_bare_words():
    assert parse_overrides(
        ["train.seeds=[0, 1]", "data.name=ml-1m", "data.skip_bad_rows=true"]
    ) == {
        "train": {"seeds": [0, 1]},
        "data": {"name": "ml-1m", "skip_bad_rows": True},
    }
    assert parse_overrides(["data.columns.title=name"]) == {"data": {"columns": {"title": "name"}}}


@pytest.mark.parametrize("text", ["verify.threshold", "=3"])
def test_an_override_that_says_nothing_is_refused(text):
    with pytest.raises(ConfigError, match=r"write table\.key=value"):
        parse_overrides([text])


def test_an_override_below_a_value_is_refused():
    with pytest.raises(ConfigError, match=r"data\.name\.x.*is a value"):
        parse_overrides(["data.name=x", "data.name.x=1"])


@pytest.mark.parametrize("path", sorted(folder("pipelines").rglob("*.toml")), ids=lambda p: p.name)
def test_every_shipped_pipeline_is_valid_and_opens_with_its_command(path):
    load_job(path)
    opening = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert any("llmrg" in line for line in opening[1:])
