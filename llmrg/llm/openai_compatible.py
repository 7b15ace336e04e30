"""One client for every server that speaks OpenAI's chat completions, over the `openai` SDK.

The SDK is used for the wire only. Its retries are off (they would multiply with ours), redirects
are off (it would send the prompt on to another host), and answers are read from the raw body:
openai 3.52 hands several failures over as successes, and its timeout never fires on a server that
trickles one byte per second.
"""

from __future__ import annotations

import asyncio
import json
import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from llmrg.errors import ConfigError, LLMError, Refused, Unavailable
from llmrg.llm.answers import Answer, read_answer
from llmrg.llm.base import Reply, Request
from llmrg.llm.endpoints import OPENAI_HOST, checked_url, is_loopback, key_for

if TYPE_CHECKING:
    from openai import AsyncOpenAI

OPENAI_URL = f"https://{OPENAI_HOST}/v1"
_SECRET_LENGTH = 16  # shorter ones, such as "EMPTY", are no secrets and occur in honest text


class OpenAICompatible:
    """A model behind an OpenAI-style server.

    Args:
        model: the name the server knows the model by.
        base_url: https, or http on this machine, up to and including "/v1".
        api_key_env: the environment variable that holds the key. By default OPENAI_API_KEY, but
            only for OpenAI's own server: another server never sees a key it was not given.
        deadline_s: seconds for a whole request, from sending to the last byte.

    Raises:
        ConfigError: if a value cannot be used, or a key is needed and its variable is not set.
    """

    def __init__(
        self,
        *,
        model: str,
        base_url: str = OPENAI_URL,
        api_key_env: str | None = None,
        deadline_s: float = 120.0,
    ) -> None:
        if not model:
            raise ConfigError("model is empty; give the name the server knows the model by")
        if not 0 < deadline_s < float("inf"):
            raise ConfigError(f"deadline_s must be a positive number of seconds (got {deadline_s})")
        url = checked_url(base_url)
        self._host = str(url.hostname)
        self._local = is_loopback(self._host)
        self._key = key_for(self._host, api_key_env)
        self._model = model
        self._base_url = base_url
        self._deadline_s = deadline_s
        self._server = f"model '{model}' at {url.netloc}"
        self._client: AsyncOpenAI | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def __repr__(self) -> str:
        return f"OpenAICompatible(model={self._model!r}, base_url={self._base_url!r})"

    @property
    def name(self) -> str:
        """Provider and model, such as "openai:gpt-4.1-nano"."""
        return f"openai:{self._model}"

    @property
    def model(self) -> str:
        """The name the server knows the model by."""
        return self._model

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections; the next request opens new ones."""
        if self._client is not None and self._loop is asyncio.get_running_loop():
            await self._client.close()
        self._client = None

    async def complete(self, request: Request) -> Reply:
        """Send one request, once.

        Raises:
            Unavailable: rate limit, server error, broken or late answer; with `retry_after` where
                the server gave one.
            Refused: bad request, key, model or quota; a refusal by the model or a filter.
            ReplyError: an answer without text.
        """
        started = time.monotonic()
        answer = await self._send(request)
        outcome = read_answer(answer, self._server) if isinstance(answer, Answer) else answer
        # Raised here, away from the SDK's exceptions: those hold the request with its key.
        if isinstance(outcome, LLMError):
            raise outcome
        return replace(outcome, latency_s=time.monotonic() - started)

    async def _send(self, request: Request) -> Answer | LLMError:
        client = self._connected()
        import openai

        try:
            async with asyncio.timeout(self._deadline_s):
                completions = client.chat.completions.with_raw_response
                response = (await completions.create(**self._parameters(request))).http_response
        except openai.APIStatusError as error:
            response = error.response
        except (TimeoutError, openai.APITimeoutError):
            return Unavailable(f"{self._server} gave no whole answer in {self._deadline_s:g} s")
        except openai.APIConnectionError as error:
            reason = self._redacted(str(error.__cause__ or error))
            return Unavailable(f"{self._server}: the connection failed: {reason}")
        except UnicodeEncodeError as error:
            return Refused(f"the request holds text that is not valid Unicode: {error.reason}")
        return Answer(
            status=response.status_code,
            headers={k.lower(): self._redacted(v) for k, v in response.headers.items()},
            text=self._redacted(response.content.decode("utf-8", "replace")),
        )

    def _connected(self) -> AsyncOpenAI:
        """The SDK's client; its connections belong to one event loop, so each loop gets its own."""
        loop = asyncio.get_running_loop()
        if self._client is None or self._loop is not loop:
            self._client, self._loop = self._new_client(), loop
        return self._client

    def _new_client(self) -> AsyncOpenAI:
        try:
            import openai  # here, because it costs a second and most of llmrg never asks a server
        except ImportError as error:
            raise ConfigError(
                f"asking {self._server} needs the openai package; run: pip install openai"
            ) from error
        # openai 3 speaks through httpx2, openai 2 through httpx.
        newer = getattr(openai, "DefaultAsyncHttpx2Client", None)
        http_client = newer or openai.DefaultAsyncHttpxClient
        client = openai.AsyncOpenAI(
            api_key=self._key.get_secret_value(),
            base_url=self._base_url,
            timeout=self._deadline_s,
            max_retries=0,
            # A proxy set for the internet must not see what is meant for this machine.
            http_client=http_client(follow_redirects=False, trust_env=not self._local),
        )
        if self._host != OPENAI_HOST:  # the SDK reads these from the environment for any host
            client.organization = client.project = None
        return client

    def _parameters(self, request: Request) -> dict[str, Any]:
        openai_itself = self._host == OPENAI_HOST
        sent: dict[str, Any] = {
            "model": request.model,
            "messages": [{"role": each.role, "content": each.content} for each in request.messages],
            "temperature": request.temperature,
            "top_p": request.top_p,
            # OpenAI's newer models know only the second name; many other servers only the first.
            "max_completion_tokens" if openai_itself else "max_tokens": request.max_tokens,
        }
        if openai_itself:
            # 1 is OpenAI's default for both, and its reasoning models refuse to be told.
            sent = {
                name: value
                for name, value in sent.items()
                if name not in ("temperature", "top_p") or value != 1
            }
        if request.seed is not None:
            # A server that honors the seed would give every sample of a question the same text.
            sent["seed"] = request.seed + request.sample_index
        if request.stop:
            sent["stop"] = list(request.stop)
        if request.reply_schema and request.structured == "schema":
            sent["response_format"] = _schema_format(request)
        elif request.reply_schema and request.structured == "json":
            sent["response_format"] = {"type": "json_object"}
        return sent

    def _redacted(self, text: str) -> str:
        """Servers quote keys in their complaints: no text leaves here with the key in it."""
        key = self._key.get_secret_value()
        return text.replace(key, "[key]") if len(key) >= _SECRET_LENGTH else text


def _schema_format(request: Request) -> dict[str, Any]:
    schema = json.loads(request.reply_schema)
    return {
        "type": "json_schema",
        "json_schema": {
            "name": re.sub(r"[^A-Za-z0-9_-]", "_", request.stage)[:64] or "reply",
            "schema": schema,
            "strict": _fits_strict_mode(schema),
        },
    }


def _fits_strict_mode(schema: Any) -> bool:
    """OpenAI's strict mode wants every object closed and every property required."""
    if isinstance(schema, list):
        return all(map(_fits_strict_mode, schema))
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    if isinstance(properties, dict) and (
        schema.get("additionalProperties") is not False
        or set(properties) != set(schema.get("required", ()))
    ):
        return False
    return all(map(_fits_strict_mode, schema.values()))
