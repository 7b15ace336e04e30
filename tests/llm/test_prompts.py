"""Prompt files: what is checked at load, and that values are only values."""

from __future__ import annotations

import json
import re
import string
import timeit
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from llmrg import resources
from llmrg.errors import PromptError
from llmrg.llm.base import Message
from llmrg.llm.prompts import Prompt, load_prompt

GOOD = {
    "system": 'You explain. Answer like {"a": [1]}. It costs $$5.',
    "user": "History: $history\nProfile: ${profile}s",
    "variables": ["history", "profile"],
    "reply": "ChainReply",
    "max_tokens": 100,
}


@pytest.fixture
def write(tmp_path: Path):
    """Write `chain.toml` from GOOD with changes, None removing a key; return the folder."""

    def write(**changes: object) -> Path:
        table = {key: value for key, value in {**GOOD, **changes}.items() if value is not None}
        # For texts, numbers and lists of texts, TOML and JSON are written alike.
        lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
        (tmp_path / "chain.toml").write_text("\n".join(lines), "utf-8")
        return tmp_path

    return write


def a_prompt(system: str, user: str, *variables: str) -> Prompt:
    return Prompt("chain", system, user, variables, "ChainReply", 100)


def test_a_file_becomes_a_prompt_with_the_files_name(write):
    prompt = load_prompt("chain", folder=write())
    assert (prompt.name, prompt.reply, prompt.max_tokens) == ("chain", "ChainReply", 100)
    assert prompt.variables == ("history", "profile")


def test_placeholders_are_filled_and_all_else_is_literal(write):
    prompt = load_prompt("chain", folder=write())
    assert prompt.render(history="Alien", profile="critic") == (
        Message("system", 'You explain. Answer like {"a": [1]}. It costs $5.'),
        Message("user", "History: Alien\nProfile: critics"),
    )


def test_an_empty_text_is_not_sent():
    assert a_prompt("", "$a", "a").render(a="x") == (Message("user", "x"),)


@pytest.mark.parametrize("text", ["$${a} $a", "{$a}", "{{$a}}", "$$$a", "${a}{}", "$a{a}", "%s$a"])
def test_braces_and_dollars_around_a_placeholder_read_as_in_string_template(text):
    expected = string.Template(text).substitute(a="x")  # the standard library is the judge
    assert a_prompt("", text, "a").render(a="x") == (Message("user", expected),)


@given(history=st.text(), profile=st.text())
def test_values_come_out_as_they_went_in(history, profile):
    prompt = a_prompt("$profile", '{"x": {}} $$ <$history>', "history", "profile")
    assert prompt.render(history=history, profile=profile) == (
        Message("system", profile),
        Message("user", f'{{"x": {{}}}} $ <{history}>'),
    )


@given(st.text(alphabet=st.characters(exclude_characters="$"), min_size=1))
def test_text_without_dollars_is_sent_as_it_stands(text):
    assert a_prompt("", text).render() == (Message("user", text),)
    assert a_prompt("", f"$a{{{text}}}", "a").render(a="") == (Message("user", f"{{{text}}}"),)


@pytest.mark.parametrize(
    "title", ["{history}", "$history", "${history}", "{0.__class__}", "{{{", "%(x)s", "Tom & Jerry"]
)
def test_a_hostile_title_is_only_a_title(write, title):
    messages = load_prompt("chain", folder=write()).render(history=title, profile="")
    assert messages[1].content == f"History: {title}\nProfile: s"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"profile": "x"}, "prompt 'chain' needs $history, but only $profile was given"),
        ({}, "prompt 'chain' needs $history, $profile, but nothing was given"),
        (
            {"history": "x", "profile": "y", "histroy": "z"},
            "prompt 'chain' has $history, $profile; it does not know $histroy",
        ),
    ],
)
def test_missing_and_extra_values_are_named(write, values, message):
    with pytest.raises(PromptError, match=re.escape(message)):
        load_prompt("chain", folder=write()).render(**values)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sytem": "x"}, "unknown key 'sytem'; did you mean 'system'?"),
        ({"temperature": 1}, "unknown key 'temperature'"),
        ({"reply": None}, "the key 'reply' is missing"),
        ({"system": 5}, "'system' must be a text (got 5)"),
        ({"max_tokens": 1.5}, "'max_tokens' must be a whole number (got 1.5)"),
        ({"max_tokens": True}, "'max_tokens' must be a whole number (got True)"),
        ({"max_tokens": 0}, "'max_tokens' must be at least 1 (got 0)"),
        ({"variables": "history"}, "'variables' must be a list of texts (got 'history')"),
        ({"variables": [1]}, "'variables' must be a list of texts (got [1])"),
        ({"variables": ["history"]}, "$profile is used but not listed in 'variables'"),
        (
            {"variables": ["history", "profile", "item"]},
            "'item' is listed in 'variables' but $item is not used",
        ),
        ({"system": "It costs $5."}, "a lone dollar at '$5.'; write $$ for a dollar"),
        (
            {"user": "$history $profile $schema", "variables": ["history", "profile", "schema"]},
            "$schema is a reserved name",
        ),
    ],
)
def test_a_mistake_in_the_file_is_named_with_its_place(write, changes, message):
    folder = write(**changes)
    with pytest.raises(PromptError, match=re.escape(message)) as caught:
        load_prompt("chain", folder=folder)
    assert str(folder / "chain.toml") in str(caught.value)


@pytest.mark.parametrize("content", [b"system = ", b'system = "\xff"'])
def test_a_file_that_is_not_toml_is_named(tmp_path, content):
    (tmp_path / "chain.toml").write_bytes(content)
    with pytest.raises(PromptError, match=r"chain\.toml: cannot be read"):
        load_prompt("chain", folder=tmp_path)


def test_an_unknown_prompt_is_answered_with_the_known_ones(write):
    with pytest.raises(PromptError, match=r"no prompt 'chian'; did you mean 'chain'\?.*: chain"):
        load_prompt("chian", folder=write())


def test_a_name_never_leads_out_of_the_folder(write, tmp_path):
    folder = write()
    (tmp_path / "inner").mkdir()
    for name in ("../chain", str(folder / "chain")):
        with pytest.raises(PromptError, match="no prompt"):
            load_prompt(name, folder=tmp_path / "inner")


def test_the_digest_follows_every_text_and_the_schema_and_nothing_else(write):
    prompt = load_prompt("chain", folder=write())
    changed = [
        replace(prompt, system="Other."),
        replace(prompt, user="$history $profile"),
        replace(prompt, reply="OtherReply"),
        replace(prompt, schema='{"type":"object"}'),
        replace(prompt, system=prompt.user, user=prompt.system),
    ]
    assert len({prompt.digest, *(each.digest for each in changed)}) == 1 + len(changed)
    assert replace(prompt, max_tokens=7).digest == prompt.digest
    assert re.fullmatch("[0-9a-f]{64}", prompt.digest)


def test_a_request_carries_stage_words_schema_and_limit(write):
    prompt = load_prompt("chain", folder=write())
    request = prompt.request("tiny", schema='{"type":"object"}', history="Alien", profile="")
    assert (request.stage, request.model, request.max_tokens) == ("chain", "tiny", 100)
    assert request.messages == prompt.render(history="Alien", profile="")
    assert request.reply_schema == '{"type":"object"}'
    assert request.prompt == replace(prompt, schema='{"type":"object"}').digest


def test_a_schema_given_at_load_serves_every_request(write):
    prompt = load_prompt("chain", schema='{"type":"object"}', folder=write())
    request = prompt.request("tiny", history="", profile="")
    assert (request.reply_schema, request.prompt) == ('{"type":"object"}', prompt.digest)


def test_a_variable_may_be_called_model():
    request = a_prompt("", "$model", "model").request("tiny", model="a car")
    assert (request.model, request.messages) == ("tiny", (Message("user", "a car"),))


def test_the_words_are_a_langchain_prompt_too(write):
    prompt = load_prompt("chain", folder=write())
    values = {"history": "{x}", "profile": "$y"}
    theirs = prompt.template.invoke(values).to_messages()
    assert [each.content for each in theirs] == [each.content for each in prompt.render(**values)]


@pytest.mark.parametrize(
    "name", sorted(path.stem for path in resources.folder("prompts").glob("*"))
)
def test_every_prompt_that_ships_loads_and_renders(name):
    prompt = load_prompt(name)
    values = {variable: f"<{variable}>" for variable in prompt.variables}
    text = "".join(message.content for message in prompt.render(**values))
    assert all(value in text for value in values.values())


def test_rendering_takes_microseconds():
    prompt = load_prompt("chain")
    data = json.dumps({"history": ["Alien (1979)"] * 100})
    prompt.render(data=data)  # loads LangChain
    best = min(timeit.repeat(lambda: prompt.render(data=data), number=200, repeat=20)) / 200
    # About 12 µs; the bound leaves room for a busy machine.
    assert best < 40e-6
