"""Small jobs on the bundled data: real histories of few users, cut short."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from llmrg.config import Job, parse_overrides
from llmrg.data.dataset import Dataset
from llmrg.data.sources import load_dataset

USERS = 24


@pytest.fixture(scope="session")
def few_users() -> Dataset:
    """The newest 20 interactions of the first users of MovieLens latest-small."""
    whole = load_dataset(name="ml-latest-small")
    return replace(whole, histories=whole.histories.select(np.arange(USERS)).tail(20),
                   profiles=whole.profiles[:USERS])  # fmt: skip


@pytest.fixture
def make_job(tmp_path):
    """Make a job that writes under the test's folder."""

    def make(name: str = "one", **overrides: object) -> Job:
        folder = tmp_path / name
        table = {
            "job": "build_graphs",
            "data": {"name": "ml-latest-small", "max_length": 20},
            "graphs": {"path": folder / "graphs"},
            "knowledge": {"url": f"sqlite:///{folder}/knowledge.db"},
            "run": {"path": folder / "run"},
            "reasoning": {"round_size": 8},
        }
        changes = parse_overrides(f"{key.replace('__', '.')}={v}" for key, v in overrides.items())
        return Job(_file=table, _set=changes)  # type: ignore[call-arg]

    return make
