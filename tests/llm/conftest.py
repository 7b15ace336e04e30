"""Fixtures the tests of the LLM room share."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fault_server import FaultServer, Trick

from llmrg.llm.ledger import Ledger


@pytest.fixture
def serve() -> Iterator[Callable[..., FaultServer]]:
    """Start fault servers: `serve(http(503, "busy"))`."""
    servers: list[FaultServer] = []

    def start(*script: bytes | Trick) -> FaultServer:
        servers.append(FaultServer(*script))
        return servers[-1]

    yield start
    for server in servers:
        server.close()


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A new, empty ledger."""
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        yield ledger
