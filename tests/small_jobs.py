"""What tests of jobs compare: prepared data, files of a folder, rows of a knowledge base."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np

from llmrg.data.dataset import Dataset
from llmrg.data.splits import leave_one_out
from llmrg.jobs import build_graphs as module
from llmrg.jobs.prepare import Prepared, Reasoners


def prepared_from(dataset: Dataset) -> Prepared:
    """A data set with its leave-one-out split."""
    return Prepared(dataset, leave_one_out(dataset.histories))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a folder but the one that holds seconds."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != "timing.json"
    }


def knowledge_rows(job) -> dict[str, list]:
    """All rows of the knowledge base in a canonical order, without the clock."""
    path = job.knowledge.url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(path)) as connection:
        return {
            "links": connection.execute("SELECT * FROM links ORDER BY link_id").fetchall(),
            "lessons": connection.execute(
                "SELECT * FROM lessons ORDER BY link_id, user_token"
            ).fetchall(),
            "rounds": connection.execute(
                "SELECT scope, round_name, lessons FROM rounds ORDER BY scope, round_name"
            ).fetchall(),
        }


def scripted_reasoners(monkeypatch, llm) -> None:
    """Let one reasoner answer for everybody."""

    def make(job, prepared):
        return Reasoners((llm,), np.zeros(len(prepared.split.train), dtype=np.int64))

    monkeypatch.setattr(module, "make_reasoners", make)


def agreeable(request) -> str:
    """A reasoner that always finds a reason; what it says depends on the question alone."""
    data = json.loads(request.messages[1].content.partition("Data:")[2])
    if request.stage == "chain":
        number = len(data["chains"])
        return json.dumps({"links": [{"chain": number, "reason": "goes on", "via": []}]})
    if request.stage == "extend":
        return json.dumps({"next": [{"title": "Heat (1995)", "reason": "so it goes", "via": []}]})
    return '{"answer": "something"}' if request.stage == "verify" else '{"score": 75}'
