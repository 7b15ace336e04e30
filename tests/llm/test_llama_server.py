"""A real server: llama.cpp with a tiny random model, which enforces JSON schemas."""

from __future__ import annotations

import asyncio
import gc
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from contracts.llm import LLMContract, a_request, complete
from pydantic import BaseModel, ConfigDict, Field

from llmrg.errors import Refused
from llmrg.llm.base import Message, Reply, Request
from llmrg.llm.ledger import Ledger
from llmrg.llm.openai_compatible import OpenAICompatible
from llmrg.llm.recorded import Recorded
from llmrg.llm.replies import parse, schema_of
from llmrg.llm.wrappers import Cached

SERVERS = Path(__file__).resolve().parents[3] / "shared" / "tools" / "servers"


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")
    kind: Literal["item", "attribute", "profile"]
    chains: list[Literal[1, 2, 3]] = Field(min_length=1, max_length=2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The base URL of a running llama-server."""
    binary, model = SERVERS / "llama-server", SERVERS / "tiny.gguf"
    if not (binary.is_file() and model.is_file()):
        pytest.skip("llama-server and tiny.gguf are not beside this checkout")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("llama") / "log"
    options = f"--alias tiny --host 127.0.0.1 --port {port} -c 8192 -np 4 -t 1 -tb 1"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, "-m", model, *options.split(), "--offline", "--jinja"],
            stdout=output,
            stderr=subprocess.STDOUT,
        )
    try:
        wait_until_ready(f"http://127.0.0.1:{port}/health", process, log)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        process.kill()
        process.wait()


def wait_until_ready(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except urllib.error.HTTPError as error:  # 503 while the model loads
            error.close()
        except OSError:
            pass  # it does not listen yet
        time.sleep(0.1)
    pytest.fail(f"llama-server did not start:\n{log.read_text(errors='replace')[-2000:]}")


def question(**fields: object) -> Request:
    return a_request(
        "What is hidden?", reply_schema=schema_of(Answer), max_tokens=100, temperature=0.8, **fields
    )


def ask(url: str, request: Request) -> Reply:
    return complete(OpenAICompatible(model="tiny", base_url=url, deadline_s=60), request)


class TestContract(LLMContract):
    @pytest.fixture(autouse=True)
    def _server(self, server):
        self.url = server

    def answering(self):
        return OpenAICompatible(model="tiny", base_url=self.url), question()

    def failing(self):
        return OpenAICompatible(model="tiny", base_url=self.url), a_request("word " * 20_000)


def test_an_enforced_schema_gives_replies_that_parse(server):
    # The weights are random, so only the schema can be the reason that ten of ten fit.
    for n in range(10):
        reply = ask(server, question(sample_index=n))
        assert reply.finish_reason == "stop"
        assert reply.usage.input_tokens > 0
        assert reply.usage.output_tokens > 0
        assert isinstance(parse(reply.text, Answer), Answer)


def test_samples_of_one_question_differ_and_each_is_repeatable(server):
    texts = [ask(server, question(sample_index=n)).text for n in range(8)]
    assert len(set(texts)) > 1
    assert ask(server, question(sample_index=3)).text == texts[3]


def test_a_reply_cut_at_max_tokens_says_so(server):
    reply = ask(server, a_request("Go on.", max_tokens=4))
    assert reply.finish_reason == "length"
    assert reply.usage.output_tokens == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_one_client_serves_two_event_loops_in_turn(server):
    # The server keeps connections open; the first loop's cannot be used in the second.
    llm = OpenAICompatible(model="tiny", base_url=server)
    assert asyncio.run(llm.complete(question())).text
    assert complete(llm, question()).text
    gc.collect()  # the first loop's connection goes, with its warning, here


def test_a_prompt_that_does_not_fit_is_refused(server):
    with pytest.raises(Refused, match="400"):
        ask(server, a_request("word " * 20_000))


def test_a_run_against_the_server_can_be_replayed_without_it(server, tmp_path):
    request = question(messages=(Message("system", "Be brief."), Message("user", "Hidden?")))
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:

        async def once() -> Reply:
            async with OpenAICompatible(model="tiny", base_url=server) as llm:
                return await Cached(llm, ledger).complete(request)

        reply = asyncio.run(once())
        replayed = asyncio.run(Recorded(ledger).complete(request))
    assert replayed.from_ledger
    assert (replayed.text, replayed.usage) == (reply.text, reply.usage)
