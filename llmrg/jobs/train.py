"""Train and evaluate the recommender a pipeline file names, with or without graphs."""

from __future__ import annotations

from llmrg.config import Job
from llmrg.jobs.experiment import Run, run_systems
from llmrg.jobs.prepare import prepare
from llmrg.jobs.report import page_of, write_page
from llmrg.jobs.systems import key_of


def train(job: Job) -> Run:
    """Run a `train` job, or resume it, and write its page."""
    prepared = prepare(job)
    run = run_systems(job, prepared, {key_of(job): job.run.path})[-1]
    reasoner = run.report.get("llm", {}).get("reasoner", "")
    title = f"{run.name} on {prepared.dataset.name}"
    write_page(page_of([run], title=title, reasoner=reasoner), job.run.path)
    return run
