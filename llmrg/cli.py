"""The command `llmrg`: options in, one call into a job, results out. No logic lives here.

Exit codes: 0 done, 1 failed, 2 wrong use, 75 stopped but resumable. Results go to standard output,
progress and messages to standard error. Every import of a job is inside its command, so that
`llmrg --help` starts at once.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from llmrg import __version__
from llmrg.errors import ConfigError, LLMRGError, Unavailable

FAILED, WRONG_USE, RESUMABLE = 1, 2, 75

app = typer.Typer(
    help="Reasoning graphs for recommenders: why a user took the next item, checked and shared.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
data_app = typer.Typer(help="Data sets: list, prepare, describe.", no_args_is_help=True)
graph_app = typer.Typer(help="Reasoning graphs of single users.", no_args_is_help=True)
kb_app = typer.Typer(help="The knowledge base.", no_args_is_help=True)
app.add_typer(data_app, name="data")
app.add_typer(graph_app, name="graph")
app.add_typer(kb_app, name="kb")

Overrides = Annotated[
    list[str] | None, typer.Option("--set", metavar="TABLE.KEY=VALUE", help="Override a key.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print figures as JSON.")]
Graphs = Annotated[Path, typer.Option("--graphs", help="Folder of built graphs.")]
Url = Annotated[str, typer.Option("--url", help="Database of the knowledge base.")]

DEMO_GRAPHS = Path("graphs/built/demo")
DEMO_KNOWLEDGE = "sqlite:///runs/demo/knowledge.db"
DEMO_RUN = Path("runs/demo/llmrg")


def main() -> None:
    """Run the command; turn errors of ours into one line and an exit code."""
    try:
        app()
    except ConfigError as error:
        _stop(error, WRONG_USE)
    except Unavailable as error:
        _stop(error, RESUMABLE)
    except LLMRGError as error:
        _stop(error, FAILED)
    except KeyboardInterrupt:
        sys.stderr.write("stopped; run the same command again to resume\n")
        sys.exit(RESUMABLE)


def _stop(error: LLMRGError, code: int) -> None:
    sys.stderr.write(f"{type(error).__name__}: {error}\n")
    sys.exit(code)


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"llmrg {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print version.")
    ] = False,
) -> None:
    """Options of the command itself."""


@app.command()
def demo(overrides: Overrides = None, as_json: AsJson = False) -> None:
    """The whole flow on the bundled real data; ends with an HTML report."""
    from llmrg.config import load_job
    from llmrg.evaluation.report import render_markdown, to_json
    from llmrg.jobs.demo import demo as run_demo
    from llmrg.resources import folder

    path, page = run_demo(load_job(folder("pipelines") / "demo.toml", overrides or ()))
    _print(to_json(page), render_markdown(page), as_json)
    sys.stderr.write(f"report: {path}\n")


@app.command()
def run(
    pipeline: Annotated[
        Path, typer.Argument(help="A pipeline file, or the name of a shipped one.")
    ],
    overrides: Overrides = None,
    limit: Annotated[int | None, typer.Option(help="Only the first N users.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Run a pipeline file; running it again resumes."""
    from llmrg.config import load_job
    from llmrg.jobs.run import run_job

    outcome = run_job(load_job(_pipeline(pipeline), overrides or ()), limit=limit)
    _print(outcome.figures, outcome.text, as_json)
    if outcome.unfinished:
        raise typer.Exit(RESUMABLE)


@data_app.command("list")
def data_list(as_json: AsJson = False) -> None:
    """Name the data sets that ship with llmrg."""
    from llmrg.data.sources import BUNDLED

    _print(BUNDLED, "\n".join(f"{name}: {note}" for name, note in BUNDLED.items()), as_json)


SourceArgument = Annotated[str, typer.Argument(metavar="NAME|PATH", help="A data set.")]
Core = Annotated[int, typer.Option("--min-interactions", help="k of the k-core filter.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad-rows", help="Count bad rows, do not stop.")]


@data_app.command("describe")
def data_describe(
    source: SourceArgument,
    min_interactions: Core = 5,
    skip_bad_rows: SkipBad = False,
    as_json: AsJson = False,
) -> None:
    """Count users, items and interactions after filtering."""
    dataset = _load(source, min_interactions, skip_bad_rows)
    facts = dataset.describe()
    _print(facts, "\n".join(f"{name}: {value}" for name, value in facts.items()), as_json)


@data_app.command("prepare")
def data_prepare(
    source: SourceArgument,
    out: Annotated[Path, typer.Option("--out", help="Folder for the prepared tables.")],
    min_interactions: Core = 5,
    skip_bad_rows: SkipBad = False,
) -> None:
    """Filter a data set and write it as Parquet tables that load without work."""
    from llmrg.jobs.data import write_dataset

    for path in write_dataset(_load(source, min_interactions, skip_bad_rows), out):
        typer.echo(str(path))


@graph_app.command("show")
def graph_show(
    user: Annotated[str, typer.Argument(help="user_id")],
    graphs: Graphs = DEMO_GRAPHS,
    until: Annotated[int | None, typer.Option(help="As it stood after N items.", min=0)] = None,
    last: Annotated[int | None, typer.Option(help="Only the newest N items.", min=1)] = None,
    as_json: AsJson = False,
) -> None:
    """Print the reasoning graph of one user."""
    from llmrg.graph_store import read_graph, to_json
    from llmrg.graph_views import to_text

    graph = read_graph(graphs / "train", user)
    graph = graph.extended() if until is None else graph.until(until)
    typer.echo(to_json(graph) if as_json else to_text(graph, last=last))


@kb_app.command("stats")
def kb_stats(url: Url = DEMO_KNOWLEDGE, as_json: AsJson = False) -> None:
    """Count links, lessons and rounds."""
    from dataclasses import asdict

    with _knowledge(url) as store:
        stats = asdict(store.stats())
    _print(stats, "\n".join(f"{name}: {count:,}" for name, count in stats.items()), as_json)


@kb_app.command("show")
def kb_show(
    text: Annotated[str, typer.Argument(help="Part of a title or an item_id.")] = "",
    url: Url = DEMO_KNOWLEDGE,
    limit: Annotated[int, typer.Option(min=1, help="Links to print.")] = 20,
    offset: Annotated[int, typer.Option(min=0, help="Links to skip.")] = 0,
    as_json: AsJson = False,
) -> None:
    """Print links with their reasons and where they come from."""
    from llmrg.jobs.inspect_knowledge import describe_links, links_as_text

    with _knowledge(url) as store:
        page = describe_links(store, text=text, limit=limit, offset=offset)
    _print(page, links_as_text(page), as_json)


@app.command()
def recommend(
    user: Annotated[str, typer.Argument(help="user_id")],
    run_folder: Annotated[Path, typer.Option("--run", help="Folder of a finished run.")] = DEMO_RUN,
    k: Annotated[int, typer.Option("-k", min=1, max=100, help="Items to print.")] = 10,
    as_json: AsJson = False,
) -> None:
    """Print what a run recommends to a tested user, with the chains behind each item."""
    from llmrg.jobs.recommend import recommend_to, recommendations_as_text

    found = recommend_to(run_folder, user, k)
    _print(found, recommendations_as_text(found), as_json)


@app.command()
def report(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; the last is compared to all.")],
    out: Annotated[Path, typer.Option("--out", help="Folder for the page.")] = Path("runs/report"),
    as_json: AsJson = False,
) -> None:
    """Compare finished runs: table, intervals, paired tests, learning curves."""
    from llmrg.evaluation.report import render_markdown, to_json
    from llmrg.jobs.report import compare_runs, write_page

    page = compare_runs(runs)
    path = write_page(page, out)
    _print(to_json(page), render_markdown(page), as_json)
    sys.stderr.write(f"report: {path}\n")


def _print(figures: Any, text: str, as_json: bool) -> None:
    typer.echo(json.dumps(figures, indent=2, ensure_ascii=False, default=str) if as_json else text)


def _pipeline(given: Path) -> Path:
    """The file itself, or the shipped pipeline of that name."""
    if given.exists():
        return given
    from llmrg.resources import folder

    shipped = folder("pipelines") / f"{given.name.removesuffix('.toml')}.toml"
    return shipped if shipped.is_file() else given


def _load(source: str, min_interactions: int, skip_bad_rows: bool) -> Any:
    from llmrg.data.sources import load_dataset

    return load_dataset(name=source, min_interactions=min_interactions, skip_bad_rows=skip_bad_rows)


def _knowledge(url: str) -> Any:
    from llmrg.jobs.inspect_knowledge import open_existing

    return open_existing(url)
