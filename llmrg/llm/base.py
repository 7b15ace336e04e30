"""The seam to a language model: one frozen question in, one reply out.

Everything that can change a reply is a field of `Request`, and the digest is computed from all of
them, so a stored reply can never answer a different question. Keys, addresses and time limits are
not fields: they belong to the client.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

from llmrg.errors import LLMError

REQUEST_VERSION = 1
"""Part of every digest: a change in how requests are written makes old replies unreachable."""

Role = Literal["system", "user", "assistant"]
FinishReason = Literal["stop", "length"]
Structured = Literal["schema", "json", "none"]


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of the conversation we send."""

    role: Role
    content: str


@dataclass(frozen=True, slots=True)
class Request:
    """One question to a language model.

    Attributes:
        stage: which question this is ("chain", "extend", "verify", "score"); reports group by it.
        model: the name the server knows the model by.
        reply_schema: JSON schema of the reply as canonical JSON, or "" for free text.
        prompt: digest of the prompt file that worded the question.
        structured: how a server is asked to keep to the schema: it is sent the schema ("schema"),
            only told that JSON is wanted ("json"), or nothing ("none").
        sample_index: tells apart repeated samples of the same question.
    """

    stage: str
    model: str
    messages: tuple[Message, ...]
    prompt: str
    reply_schema: str = ""
    structured: Structured = "schema"
    temperature: float = 0.0
    top_p: float = 1.0
    max_tokens: int = 512
    seed: int | None = 0
    stop: tuple[str, ...] = ()
    sample_index: int = 0

    def canonical(self) -> str:
        """The request as JSON with sorted keys: the text that is hashed and kept in the ledger."""
        return json.dumps(
            {"version": REQUEST_VERSION, **asdict(self)},
            sort_keys=True,
            ensure_ascii=False,
            separators=(",", ":"),
        )

    def digest(self) -> str:
        """sha256 over the whole request, in hexadecimal."""
        return hashlib.sha256(self.canonical().encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens as the server counted them; `cached` and `reasoning` are parts of the first two."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.reasoning_tokens + other.reasoning_tokens,
        )


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back.

    Attributes:
        finish_reason: "length" means the text was cut at `max_tokens`.
        model: the model the server says it used.
        from_ledger: True if it was replayed and cost nothing now.
    """

    text: str
    finish_reason: FinishReason = "stop"
    usage: Usage = Usage()
    model: str = ""
    latency_s: float = 0.0
    from_ledger: bool = False


class LLM(Protocol):
    """Anything that answers requests: a server, a recording, the catalogue reasoner, a wrapper."""

    @property
    def name(self) -> str:
        """Provider and model, for provenance: "openai:gpt-4.1-nano", "catalog:1a2b3c4d"."""

    @property
    def model(self) -> str:
        """The model name that goes into requests."""

    async def complete(self, request: Request) -> Reply:
        """Answer one request.

        Raises:
            Unavailable: the server cannot answer now.
            Refused: this request will never be answered.
            ReplyError: an answer came, but not a usable one.
        """


@dataclass(frozen=True, slots=True)
class Done:
    """A request that was answered."""

    request: Request
    reply: Reply


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that was not answered, and why: kept as a value beside its neighbours' replies."""

    request: Request
    error: LLMError
