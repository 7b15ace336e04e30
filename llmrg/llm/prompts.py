"""Loads `prompts/*.toml`, checks them and renders them through LangChain prompt templates.

A prompt file is prose with `$variable` placeholders and `$$` for a dollar; everything else, JSON
examples included, is literal. LangChain's own formats are traps for such text: its f-strings read
`{"a": 1}` as a variable and its mustache escapes `&`. So the text is converted once, at load.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import string
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from llmrg import resources
from llmrg.errors import PromptError
from llmrg.llm.base import Message, Request, Role

if TYPE_CHECKING:
    from langchain_core.prompts import ChatPromptTemplate

_KEYS: dict[str, type] = {
    "system": str,
    "user": str,
    "variables": list,
    "reply": str,
    "max_tokens": int,
}
_KINDS = {str: "a text", list: "a list of texts", int: "a whole number"}
_RESERVED = ("self", "schema")  # parameters of `format_messages` and of `request`
_ROLES: dict[str, Role] = {"system": "system", "human": "user"}


@dataclass(frozen=True)
class Prompt:
    """The words of one question.

    Attributes:
        name: the file's name without its ending; it becomes the stage of requests.
        system, user: the texts of the two messages; an empty one is not sent.
        variables: the names of the placeholders, in the file's order.
        reply: name of the reply model the words ask for.
        max_tokens: longest reply to ask for.
        schema: JSON schema of the reply, or "" where only `request` is told.
    """

    name: str
    system: str
    user: str
    variables: tuple[str, ...]
    reply: str
    max_tokens: int
    schema: str = ""

    @property
    def digest(self) -> str:
        """sha256 over the texts and the reply schema, in hexadecimal."""
        return _digest(self.system, self.user, self.reply, self.schema)

    @cached_property
    def template(self) -> ChatPromptTemplate:
        """The same words as a LangChain prompt, for people who compose with LangChain."""
        # Imported at first use: it costs 0.14 s, and most of llmrg never renders a prompt.
        from langchain_core.messages import HumanMessage, SystemMessage
        from langchain_core.prompts import ChatPromptTemplate

        parts: list[tuple[str, str] | SystemMessage | HumanMessage] = []
        for role, message, text in (
            ("system", SystemMessage, self.system),
            ("human", HumanMessage, self.user),
        ):
            if _placeholders(text):
                parts.append((role, _as_fstring(text)))
            elif text:  # a finished message: nothing to fill in, nothing to escape
                parts.append(message(content=text.replace("$$", "$")))
        return ChatPromptTemplate.from_messages(parts)

    def render(self, /, **values: str) -> tuple[Message, ...]:
        """Fill in the placeholders; braces and dollars inside a value are only text.

        Raises:
            PromptError: if a value is missing or belongs to no placeholder.
        """
        if values.keys() != set(self.variables):
            raise PromptError(self._mismatch(values))
        messages = self.template.format_messages(**values)
        return tuple(Message(_ROLES[each.type], str(each.content)) for each in messages)

    def request(self, model: str, /, *, schema: str | None = None, **values: str) -> Request:
        """Word this question for `model`.

        Args:
            schema: JSON schema of the reply; by default the one the prompt was loaded with.

        Raises:
            PromptError: if a value is missing or belongs to no placeholder.
        """
        prompt = self if schema is None else replace(self, schema=schema)
        return Request(
            stage=self.name,
            model=model,
            messages=self.render(**values),
            prompt=prompt.digest,
            reply_schema=prompt.schema,
            max_tokens=self.max_tokens,
        )

    def _mismatch(self, values: dict[str, str]) -> str:
        given = ", ".join(f"${name}" for name in values)
        missing = [f"${name}" for name in self.variables if name not in values]
        if missing:
            only = f"only {given} was given" if given else "nothing was given"
            return f"prompt '{self.name}' needs {', '.join(missing)}, but {only}"
        extra = [f"${name}" for name in values if name not in self.variables]
        has = ", ".join(f"${name}" for name in self.variables) or "no placeholders"
        return f"prompt '{self.name}' has {has}; it does not know {', '.join(extra)}"


def load_prompt(name: str, *, schema: str = "", folder: Path | None = None) -> Prompt:
    """Read and check `NAME.toml`.

    Args:
        schema: JSON schema of the reply, as `replies.schema_of` writes it.
        folder: where to look; by default the prompts that ship with llmrg.

    Raises:
        PromptError: if there is no such prompt, or its file is malformed.
        ResourceError: if llmrg's own prompts cannot be found.
    """
    home = resources.folder("prompts") if folder is None else folder
    known = sorted(path.stem for path in home.glob("*.toml"))
    # Only names that a listing of the folder gives are opened, so "../secrets" finds nothing.
    if name not in known:
        hint = _did_you_mean(name, known)
        raise PromptError(f"{home}: no prompt '{name}'{hint}; it holds: {', '.join(known)}")
    path = home / f"{name}.toml"
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:  # TOML and UTF-8 errors are both ValueErrors
        raise PromptError(f"{path}: cannot be read: {error}") from error
    return _checked(name, table, schema, str(path))


def _checked(name: str, table: dict[str, Any], schema: str, place: str) -> Prompt:
    for key in table:
        if key not in _KEYS:
            raise PromptError(f"{place}: unknown key '{key}'{_did_you_mean(key, _KEYS)}")
    for key, kind in _KEYS.items():
        if key not in table:
            raise PromptError(f"{place}: the key '{key}' is missing")
        if type(table[key]) is not kind:
            raise PromptError(f"{place}: '{key}' must be {_KINDS[kind]} (got {table[key]!r})")
    variables: list[Any] = table["variables"]
    if not all(isinstance(each, str) for each in variables):
        raise PromptError(f"{place}: 'variables' must be a list of texts (got {variables!r})")
    if table["max_tokens"] < 1:
        raise PromptError(f"{place}: 'max_tokens' must be at least 1 (got {table['max_tokens']})")
    try:
        used = _placeholders(table["system"]) | _placeholders(table["user"])
    except ValueError as error:
        raise PromptError(f"{place}: {error}") from None
    for each in sorted(used - set(variables)):
        raise PromptError(f"{place}: ${each} is used but not listed in 'variables'")
    for each in sorted(set(variables) - used):
        raise PromptError(f"{place}: '{each}' is listed in 'variables' but ${each} is not used")
    for each in sorted(used & set(_RESERVED)):
        raise PromptError(f"{place}: ${each} is a reserved name; choose another")
    return Prompt(
        name=name,
        system=table["system"],
        user=table["user"],
        variables=tuple(dict.fromkeys(variables)),
        reply=table["reply"],
        max_tokens=table["max_tokens"],
        schema=schema,
    )


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean '{close[0]}'?" if close else ""


@lru_cache(maxsize=256)
def _digest(system: str, user: str, reply: str, schema: str) -> str:
    # JSON keeps the parts apart: no two prompts give the same text.
    text = json.dumps([system, user, reply, schema])
    return hashlib.sha256(text.encode()).hexdigest()


def _placeholders(text: str) -> set[str]:
    """The names after `$`; ValueError for a dollar that is neither `$name` nor `$$`."""
    names = set()
    for match in string.Template.pattern.finditer(text):
        if match["invalid"] is not None:
            near = text[match.start() : match.start() + 20]
            raise ValueError(f"a lone dollar at {near!r}; write $$ for a dollar")
        if name := match["named"] or match["braced"]:
            names.add(name)
    return names


def _as_fstring(text: str) -> str:
    """Rewrite `$name` as `{name}` and `$$` as `$`; double every brace that is only a brace."""
    pieces, end = [], 0
    for match in string.Template.pattern.finditer(text):
        name = match["named"] or match["braced"]
        pieces += [_doubled(text[end : match.start()]), f"{{{name}}}" if name else "$"]
        end = match.end()
    return "".join([*pieces, _doubled(text[end:])])


def _doubled(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
