"""Reads a chat server's HTTP answer: a Reply, or Unavailable, Refused or ReplyError.

Servers and the gateways before them fail in more ways than by status: with an empty list of
choices, an error inside a 200, a page of HTML, a body cut in the middle. The rules follow a table
measured against a fault server; nothing that is not a usable answer may pass as one.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

from llmrg.errors import LLMError, Refused, ReplyError, Unavailable
from llmrg.llm.base import Reply, Usage

_LONGEST = 300  # characters of a server's words in one of our messages

_FOR_ALL = frozenset({401, 403, 404})  # key, permission, model: the next request fares no better
_LATER = frozenset({408, 409, 425, 429})  # the 4xx codes that ask for patience
_QUOTA = frozenset(
    {"insufficient_quota", "insufficient_balance", "billing_hard_limit_reached"}
    | {"billing_not_active"}
)
_FINAL = frozenset(
    {"invalid_request_error", "authentication_error", "invalid_api_key", "permission_error"}
    | {"not_found_error", "model_not_found", "context_length_exceeded"}
    | {"exceed_context_size_error", "content_filter", "content_policy_violation"}
)
_CUT = frozenset({"length", "max_tokens", "model_length"})
_HINTS = {
    401: "check the key in the environment variable that api_key_env names",
    403: "check what the key may do",
    404: "check the model's name and the path in base_url",
}


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server sent back; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    text: str


def read_answer(answer: Answer, server: str) -> Reply | LLMError:
    """Classify an answer.

    Errors are returned, not raised, so that whoever raises them decides what they are chained to.

    Args:
        server: how messages name the server.
    """
    body = _json(answer.text)
    error = body.get("error") if isinstance(body, dict) else None
    if not 200 <= answer.status < 300:
        return _failure(answer.status, answer, body, server)
    if not isinstance(body, dict):
        return Unavailable(f"{server} sent {_nature(answer.text)} instead of a JSON object")
    if error:
        return _failure(_status_inside(error), answer, body, server)
    choices = body.get("choices")
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], dict):
        return Unavailable(f"{server} sent an answer without choices")
    return _read_choice(choices[0], body, answer, server)


def _read_choice(
    choice: dict[str, Any], body: dict[str, Any], answer: Answer, server: str
) -> Reply | LLMError:
    message = choice.get("message")
    if not isinstance(message, dict):
        message = {}
    finish = choice.get("finish_reason")
    text = _clean(_content(message.get("content")))
    if refusal := message.get("refusal"):
        return Refused(f"{server}: the model refused: {_short(refusal)}")
    if finish == "content_filter":
        return Refused(f"{server}: the answer was withheld by a content filter")
    if finish == "error":
        return Unavailable(f"{server}: the model failed while answering")
    if not text.strip() and finish not in _CUT:
        return ReplyError(
            f"{server}: the answer holds no text (finish_reason {_short(finish)})", text=answer.text
        )
    return Reply(
        text=text,
        finish_reason="length" if finish in _CUT else "stop",
        usage=_usage(body.get("usage")),
        model=_clean(str(body.get("model") or "")),
    )


def _failure(status: int, answer: Answer, body: Any, server: str) -> LLMError:
    message, marks = _complaint(body, answer.text)
    told = f"{server} answered {status}: {message}"
    if status == 402 or marks & _QUOTA:
        return Refused(
            f"{told}; the quota is used up: raise it, then run again", every_request=True
        )
    if 300 <= status < 400:
        target = _short(answer.headers.get("location", "somewhere else"))
        return Refused(
            f"{server} answered {status}: it redirects to {target}; redirects are never followed: "
            "set base_url to the final address",
            every_request=True,
        )
    if status not in _LATER and (status < 500 or marks & _FINAL):
        hint = _HINTS.get(status)
        return Refused(f"{told}; {hint}" if hint else told, every_request=status in _FOR_ALL)
    return Unavailable(told, retry_after=_retry_after(answer.headers))


def _status_inside(error: Any) -> int:
    """The status an error object inside a 200 stands for; 503 where it names none."""
    for key in ("code", "status"):
        value = str(error.get(key)) if isinstance(error, dict) else ""
        if value.isascii() and value.isdecimal() and 300 <= int(value[:9]) < 600:
            return int(value)
    return 503


def _complaint(body: Any, text: str) -> tuple[str, set[str]]:
    """The server's words and the machine-readable marks beside them, in lower case."""
    error = body.get("error") or body if isinstance(body, dict) else text
    if not isinstance(error, dict):
        return _nature(text) if error is text else _short(error), set()
    marks = {str(error.get(key)).lower() for key in ("code", "type", "status")}
    return _short(error.get("message") or error.get("detail") or json.dumps(error)), marks


def _retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait: `retry-after-ms`, or `retry-after` as seconds or as an HTTP date."""
    milliseconds = _seconds(headers.get("retry-after-ms", ""))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after", "")
    seconds = _seconds(value)
    if seconds is not None or not value:
        return seconds
    try:
        moment = parsedate_to_datetime(value)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


def _seconds(text: str) -> float | None:
    try:
        value = float(text)
    except ValueError:
        return None
    return max(0.0, value) if math.isfinite(value) else None


def _content(content: Any) -> str:
    """The text of a message; some servers send it in parts."""
    if isinstance(content, list):
        texts = [part.get("text") for part in content if isinstance(part, dict)]
        return "".join(text for text in texts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def _usage(usage: Any) -> Usage:
    return Usage(
        input_tokens=_count(usage, "prompt_tokens"),
        output_tokens=_count(usage, "completion_tokens"),
        cached_tokens=_count(usage, "prompt_tokens_details", "cached_tokens"),
        reasoning_tokens=_count(usage, "completion_tokens_details", "reasoning_tokens"),
    )


def _count(value: Any, *keys: str) -> int:
    """A token count at a path of keys; 0 for anything that is not one."""
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    return value if isinstance(value, int) and value > 0 else 0


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def _nature(text: str) -> str:
    """What a body that is not JSON is, in a few words."""
    start = text.lstrip()[:1]
    if not start:
        return "an empty body"
    if start == "<":
        return f"an HTML page ({_short(text)})"
    return f"broken JSON ({_short(text)})" if start in "{[" else f"plain text ({_short(text)})"


def _clean(text: str) -> str:
    """Replace lone surrogates, which JSON can spell and UTF-8 cannot."""
    return text.encode("utf-8", "replace").decode()


def _short(value: object) -> str:
    text = " ".join(_clean(str(value)).split())
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
