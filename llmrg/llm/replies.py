"""Turns the text of a reply into a checked object, or says what is wrong and keeps the text.

The text is data from outside: it may be cut, wrapped in prose or code fences, a megabyte long or
nested a thousand deep. Only two repairs are made, because a cleverer one would sooner or later
turn a broken reply into a wrong answer: fences are stripped, and prose around the first balanced
JSON object is dropped.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from llmrg.errors import ReplyError

Model = TypeVar("Model", bound=BaseModel)

# Possessive (`++`, `*+`): a string that never closes must not be searched again and again.
_STRING_OR_BRACE = re.compile(r'"(?:[^"\\]++|\\.)*+"?|[{}]', re.DOTALL)
_TRIED = 100  # stretches in braces; no honest prose has more before its answer
_SHOWN = 3  # validation errors named in a message
_LONGEST = 200  # characters of any foreign text in a message


@lru_cache(maxsize=256)
def schema_of(model: type[BaseModel]) -> str:
    """The JSON schema of a reply model as one line of text, the same in every run.

    Keys keep the order of the model's fields: servers that enforce a schema write the fields in
    that order, so "reason first, score last" is part of the question.
    """
    return json.dumps(model.model_json_schema(), ensure_ascii=False, separators=(",", ":"))


def parse(text: str, model: type[Model]) -> Model:
    """Read a reply.

    Args:
        text: strict JSON; or JSON in a code fence, or a JSON object among other words.
        model: what the JSON must fit; how strictly is up to its own settings.

    Raises:
        ReplyError: if there is no such JSON, or it does not fit; it keeps `text`.
    """
    value = _value_of(text)
    try:
        return model.model_validate(value)
    except ValidationError as error:
        reason = f"the reply does not fit {model.__name__}: {_told(error)}"
    except RecursionError:
        reason = f"the reply does not fit {model.__name__}: it is nested too deeply"
    raise ReplyError(reason, text=text)


def _value_of(text: str) -> Any:
    trouble = ""
    for candidate in _candidates(text):
        try:
            return _decoded(candidate)
        except json.JSONDecodeError as error:
            trouble = trouble or f"{error.msg} at line {error.lineno}, column {error.colno}"
        except ValueError as error:  # JSON in form, but no honest answer looks like this
            trouble = str(error)
            break
        except RecursionError:
            trouble = "it is nested too deeply"
            break
    trouble = trouble or "it is empty"
    raise ReplyError(f"the reply is not the JSON that was asked for: {trouble}", text=text)


def _decoded(text: str) -> Any:
    value = json.loads(
        text, object_pairs_hook=_without_duplicates, parse_constant=_finite, parse_float=_finite
    )
    # JSON can spell half a character, which no file takes: UnicodeEncodeError is a ValueError too.
    json.dumps(value, ensure_ascii=False).encode()
    return value


def _candidates(text: str) -> Iterator[str]:
    """What may be the JSON, likeliest first."""
    bare = text.strip()
    if bare:
        yield bare
    opening, _, rest = bare.partition("\n")
    if opening.startswith("```") and rest.endswith("```"):
        yield rest.removesuffix("```")
    yield from islice(_objects(text), _TRIED)


def _objects(text: str) -> Iterator[str]:
    """Every stretch from a `{` to its own `}`, outermost only, in one pass over the text.

    Nothing is taken from inside an object that never closes: what was cut must stay broken.
    """
    end = 0
    while (start := text.find("{", end)) >= 0:
        depth = end = 0
        for match in _STRING_OR_BRACE.finditer(text, start):
            depth += {"{": 1, "}": -1}.get(match[0], 0)
            if depth == 0:
                end = match.end()
                break
        if end == 0:
            return
        yield text[start:end]


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        twice, _ = Counter(key for key, _ in pairs).most_common(1)[0]
        raise ValueError(f"the key {_short(twice)!r} stands twice in one object")
    return value


def _finite(number: str) -> float:
    value = float(number)
    if not math.isfinite(value):
        raise ValueError(f"{_short(number)} is not a finite number")
    return value


def _told(error: ValidationError) -> str:
    """The first few validation errors in one line; foreign text is cut short."""
    errors = error.errors(include_url=False, include_context=False, include_input=False)
    told = []
    for each in errors[:_SHOWN]:
        place = _short(".".join(map(str, each["loc"])))
        told.append(f"{place}: {_short(each['msg'])}" if place else _short(each["msg"]))
    more = len(errors) - _SHOWN
    return "; ".join(told) + (f"; and {more} more" if more > 0 else "")


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
