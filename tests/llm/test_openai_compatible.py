"""Every fault of the table in the reliability notes, on a real socket, and what must not leak."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
import time
import traceback
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from contracts.llm import LLMContract, a_request
from fault_server import completion, http

from llmrg.errors import ConfigError, LLMError, Refused, ReplyError, Unavailable
from llmrg.llm.base import Reply, Request, Usage
from llmrg.llm.openai_compatible import OpenAICompatible
from llmrg.llm.wrappers import Cached

CANARY = "sk-canary-0123456789abcdef"
OPEN_SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}}
CLOSED_SCHEMA = {**OPEN_SCHEMA, "required": ["a"], "additionalProperties": False}


def ask(url: str, request: Request | None = None, **settings: Any) -> Reply:
    """Ask once and close the client."""

    async def once() -> Reply:
        async with OpenAICompatible(**{"model": "tiny", "base_url": url, **settings}) as llm:
            return await llm.complete(request or a_request())

    return asyncio.run(once())


class TestContract(LLMContract):
    @pytest.fixture(autouse=True)
    def _servers(self, serve):
        self.serve = serve

    def answering(self):
        server = self.serve(http(200, completion()))
        return OpenAICompatible(model="tiny", base_url=server.url), a_request()

    def failing(self):
        server = self.serve(http(503, "busy"))
        return OpenAICompatible(model="tiny", base_url=server.url), a_request()


def error(**fields: object) -> dict[str, object]:
    return {"error": {"message": "told by the server", **fields}}


QUOTA = error(type="insufficient_quota", code="insufficient_quota")
CUT = json.dumps(completion()).encode()[:-30]

FAULTS: dict[str, tuple[bytes, type[LLMError], str]] = {
    "429": (http(429, error(code="rate_limit_exceeded")), Unavailable, "429: told by the server"),
    "429 quota": (http(429, QUOTA), Refused, "quota is used up"),
    "402": (http(402, error()), Refused, "quota is used up"),
    "408": (http(408, error()), Unavailable, "408"),
    "409": (http(409, error()), Unavailable, "409"),
    "500": (http(500, error(type="server_error")), Unavailable, "500: told by the server"),
    "500 bare text": (http(500, "Internal Server Error", kind="text/plain"), Unavailable, "500"),
    "500 detail": (http(500, {"detail": "no GPU"}), Unavailable, "no GPU"),
    "503 html": (http(503, "<html>down</html>", kind="text/html"), Unavailable, "HTML page"),
    "529": (http(529, error(type="overloaded_error")), Unavailable, "529"),
    "400": (http(400, error(type="invalid_request_error")), Refused, "400: told by the server"),
    "400 too long": (http(400, error(type="exceed_context_size_error")), Refused, "400"),
    "400 filter": (http(400, error(code="content_filter")), Refused, "400"),
    "401": (http(401, error(code="invalid_api_key")), Refused, "check the key"),
    "403": (http(403, error()), Refused, "403"),
    "404": (http(404, error(code="model_not_found")), Refused, "check the model's name"),
    "422 detail": (http(422, {"detail": [{"msg": "field required"}]}), Refused, "field required"),
    "no choices": (http(200, {**completion(), "choices": []}), Unavailable, "without choices"),
    "null choices": (http(200, {**completion(), "choices": None}), Unavailable, "without choices"),
    "odd choices": (http(200, {**completion(), "choices": [7]}), Unavailable, "without choices"),
    "error in 200": (http(200, error()), Unavailable, "told by the server"),
    "text error in 200": (http(200, {"error": "overloaded"}), Unavailable, "overloaded"),
    "429 in 200": (http(200, error(code=429)), Unavailable, "429"),
    "quota in 200": (http(200, QUOTA), Refused, "quota is used up"),
    "401 in 200": (http(200, error(code="401")), Refused, "check the key"),
    "bad request in 200": (http(200, error(type="invalid_request_error")), Refused, "told by"),
    "html": (http(200, "<html>hello</html>", kind="text/html"), Unavailable, "an HTML page"),
    "html that says json": (http(200, "<html>"), Unavailable, "an HTML page"),
    "cut json": (http(200, CUT), Unavailable, "broken JSON"),
    "nested json": (http(200, "[" * 100_000), Unavailable, "broken JSON"),
    "empty body": (http(200, ""), Unavailable, "an empty body"),
    "a json list": (http(200, [1, 2]), Unavailable, "instead of a JSON object"),
    "closed mid-body": (http(200, completion())[:-30], Unavailable, "connection failed"),
    "not http": (b"hello\r\n\r\n", Unavailable, "connection failed"),
    "closed at once": (b"", Unavailable, "connection failed"),
    "refusal": (http(200, completion(None, refusal="I won't")), Refused, "refused: I won't"),
    "filter": (http(200, completion("", "content_filter")), Refused, "content filter"),
    "model failed": (http(200, completion("ab", "error")), Unavailable, "failed while answering"),
    "null content": (http(200, completion(None)), ReplyError, "holds no text"),
    "blank content": (http(200, completion(" \n")), ReplyError, "holds no text"),
    "tool call": (http(200, completion(None, "tool_calls")), ReplyError, "tool_calls"),
    "no message": (http(200, {"choices": [{}]}), ReplyError, "holds no text"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_becomes_one_of_our_errors_after_one_request(serve, fault):
    response, expected, words = FAULTS[fault]
    server = serve(response)
    with pytest.raises(LLMError) as caught:
        ask(server.url)
    assert type(caught.value) is expected
    assert words in str(caught.value)
    assert "model 'tiny' at 127.0.0.1" in str(caught.value)
    assert len(server.requests) == 1  # neither the SDK nor we send it again


def test_nobody_listening_is_unavailable():
    with pytest.raises(Unavailable, match="connection failed"):
        ask("http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry_After": "200"}, 200.0),  # openai 3.52 gives up at once on more than 120
        ({"Retry_After": "1.5"}, 1.5),
        ({"Retry_After_Ms": "250", "Retry_After": "9"}, 0.25),
        ({"Retry_After": "-3"}, 0.0),
        ({"Retry_After": "soon"}, None),
        ({"Retry_After": "nan"}, None),
        ({}, None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
def test_the_wait_a_server_asks_for_is_kept_on_the_error(serve, status, headers, seconds):
    with pytest.raises(Unavailable) as caught:
        ask(serve(http(status, error(), **headers)).url)
    assert caught.value.retry_after == seconds


def test_a_wait_may_be_given_as_a_date(serve):
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=60), usegmt=True)
    with pytest.raises(Unavailable) as caught:
        ask(serve(http(429, error(), Retry_After=date)).url)
    # The date has whole seconds, and the test takes a moment.
    assert caught.value.retry_after == pytest.approx(60, abs=5)


def test_a_server_that_trickles_bytes_meets_the_deadline(serve):
    async def trickle(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(200):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.05)

    server = serve(trickle)
    ask(serve(http(200, completion())).url)  # loads the SDK, which takes its time only once
    started = time.monotonic()
    with pytest.raises(Unavailable, match=r"no whole answer in 0\.3 s"):
        ask(server.url, deadline_s=0.3)
    assert time.monotonic() - started < 3  # 200 bytes would take 10 s


def test_a_redirect_is_refused_and_the_other_host_never_hears_of_it(serve):
    elsewhere = serve(http(200, completion()))
    server = serve(http(307, "", Location=f"{elsewhere.url}/chat/completions"))
    with pytest.raises(Refused, match="never followed: set base_url to the final address"):
        ask(server.url)
    assert elsewhere.requests == []


def test_a_complete_answer_becomes_a_reply(serve):
    body = completion("forty-two")
    body["usage"] = {
        "prompt_tokens": 7,
        "completion_tokens": 3,
        "prompt_tokens_details": {"cached_tokens": 4},
        "completion_tokens_details": {"reasoning_tokens": 2},
    }
    reply = ask(serve(http(200, body)).url)
    assert (reply.text, reply.finish_reason) == ("forty-two", "stop")
    assert reply.usage == Usage(7, 3, 4, 2)
    assert reply.model == "tiny-served"
    assert not reply.from_ledger
    assert 0 < reply.latency_s < 60


@pytest.mark.parametrize("text", ["cut he", "", None])
def test_an_answer_cut_at_max_tokens_is_a_reply_that_says_so(serve, text):
    reply = ask(serve(http(200, completion(text, "length"))).url)
    assert (reply.text, reply.finish_reason) == (text or "", "length")


@pytest.mark.parametrize("usage", [None, "many", {"prompt_tokens": "7"}, {"prompt_tokens": -1}])
def test_a_usage_that_makes_no_sense_counts_as_nothing(serve, usage):
    assert ask(serve(http(200, {**completion(), "usage": usage})).url).usage == Usage()


def test_content_in_parts_is_joined(serve):
    parts = [{"type": "text", "text": "forty-"}, {"type": "text", "text": "two"}, {"type": "x"}]
    assert ask(serve(http(200, completion(parts))).url).text == "forty-two"


def test_half_a_character_in_an_answer_does_not_travel_on(serve):
    reply = ask(serve(http(200, '{"choices": [{"message": {"content": "a\\ud83d"}}]}')).url)
    assert reply.text == "a?"


def test_the_whole_request_is_sent(serve):
    server = serve(http(200, completion()))
    ask(
        server.url,
        a_request(temperature=0.5, top_p=0.9, max_tokens=64, seed=10, sample_index=2, stop=("#",)),
    )
    assert server.sent() == {
        "model": "tiny",
        "messages": [{"role": "user", "content": "Which item comes next?"}],
        "temperature": 0.5,
        "top_p": 0.9,
        "max_tokens": 64,
        "seed": 12,  # 10 + 2: or a server that honors seeds would repeat the first sample
        "stop": ["#"],
    }


def test_what_is_not_set_is_not_sent(serve):
    server = serve(http(200, completion()))
    ask(server.url, a_request(seed=None))
    assert {"seed", "stop", "response_format"}.isdisjoint(server.sent())


@pytest.mark.parametrize(("schema", "strict"), [(CLOSED_SCHEMA, True), (OPEN_SCHEMA, False)])
def test_a_reply_schema_is_sent_and_strict_where_the_schema_allows(serve, schema, strict):
    server = serve(http(200, completion('{"a": 1}')))
    ask(server.url, a_request(stage="chain!", reply_schema=json.dumps(schema)))
    assert server.sent()["response_format"] == {
        "type": "json_schema",
        "json_schema": {"name": "chain_", "schema": schema, "strict": strict},
    }


def test_servers_that_know_no_schema_can_be_spared_it(serve):
    server = serve(http(200, completion("{}")))
    request = a_request(reply_schema=json.dumps(CLOSED_SCHEMA), structured="json")
    ask(server.url, request)
    assert server.sent()["response_format"] == {"type": "json_object"}
    ask(server.url, replace(request, structured="none"))
    assert "response_format" not in server.sent()


def test_openai_itself_is_asked_in_the_words_its_newer_models_know(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    llm = OpenAICompatible(model="gpt-5-mini")
    sent = llm._parameters(a_request(temperature=1.0, max_tokens=64))
    assert sent["max_completion_tokens"] == 64
    assert {"max_tokens", "temperature", "top_p"}.isdisjoint(sent)


def test_text_that_is_not_unicode_is_refused_before_it_is_sent(serve):
    server = serve(http(200, completion()))
    with pytest.raises(Refused, match="not valid Unicode"):
        ask(server.url, a_request("half a character: \ud83d"))
    assert server.requests == []


# --- the key -------------------------------------------------------------------------------------


def everything_said(error: BaseException) -> str:
    """Message, arguments and every chained error, as a crash report would show them."""
    chain = [repr(error), str(error.args), str(vars(error))]
    return "\n".join([*chain, *traceback.format_exception(error)])


ECHO = f"Incorrect API key provided: Bearer {CANARY}"


@pytest.mark.parametrize(
    "response",
    [
        http(401, {"error": {"message": ECHO}}),
        http(500, ECHO, kind="text/plain"),
        http(200, ECHO, kind="text/html"),
        http(200, {"error": {"message": ECHO}}),
        http(200, completion(None, note=ECHO)),
        http(307, "", Location=f"http://127.0.0.1:9/{CANARY}"),
        b"",
    ],
)
def test_the_key_is_in_no_error_whatever_the_server_says(serve, monkeypatch, caplog, response):
    monkeypatch.setenv("MY_KEY", CANARY)
    server = serve(response)
    with caplog.at_level(logging.INFO), pytest.raises(LLMError) as caught:
        ask(server.url, api_key_env="MY_KEY")
    assert f"Authorization: Bearer {CANARY}".encode().lower() in server.requests[0].lower()
    assert CANARY not in everything_said(caught.value)
    assert CANARY not in caplog.text
    # The SDK's exceptions hold the request, headers and all: none may hang on to ours.
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_the_key_is_in_no_repr_and_no_ledger(serve, monkeypatch, ledger, tmp_path):
    monkeypatch.setenv("MY_KEY", CANARY)
    server = serve(http(200, completion(ECHO)))
    llm = OpenAICompatible(model="tiny", base_url=server.url, api_key_env="MY_KEY")

    async def once() -> Reply:
        async with llm:
            return await Cached(llm, ledger).complete(a_request())

    reply = asyncio.run(once())
    assert reply.text == "Incorrect API key provided: Bearer [key]"
    assert CANARY not in repr(llm) + str(vars(llm)) + repr(reply)
    ledger.close()
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert b"Incorrect API key" in written
    assert CANARY.encode() not in written


def test_a_short_stand_in_for_a_key_is_not_cut_out_of_honest_text(serve, monkeypatch):
    monkeypatch.setenv("MY_KEY", "EMPTY")
    server = serve(http(200, completion("an EMPTY room")))
    assert ask(server.url, api_key_env="MY_KEY").text == "an EMPTY room"


def test_openais_key_goes_to_no_other_host(serve, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    monkeypatch.setenv("OPENAI_ORG_ID", "org-canary")
    server = serve(http(200, completion()))
    ask(server.url)
    assert CANARY.encode() not in server.requests[0]
    assert b"org-canary" not in server.requests[0]


def test_a_proxy_for_the_internet_does_not_see_what_is_meant_for_this_machine(serve, monkeypatch):
    proxy = serve(http(200, completion("from the proxy")))
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.port}")
    assert ask(serve(http(200, completion())).url).text == "forty-two"
    assert proxy.requests == []


# --- settings ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"model": ""}, "model is empty"),
        ({"deadline_s": 0}, "deadline_s must be a positive"),
        ({"deadline_s": float("inf")}, "deadline_s must be a positive"),
    ],
)
def test_a_setting_that_cannot_work_is_refused(settings, words):
    with pytest.raises(ConfigError, match=words):
        OpenAICompatible(**{"model": "tiny", "base_url": "http://localhost/v1", **settings})


def test_without_the_openai_package_the_way_out_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigError, match="run: pip install openai"):
        ask("http://127.0.0.1:9/v1")
