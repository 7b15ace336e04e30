"""Reply texts as models really write them, and as nobody should."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from llmrg.errors import ReplyError
from llmrg.llm.replies import parse, schema_of


class Link(BaseModel):
    model_config = ConfigDict(extra="forbid")
    reason: str
    score: int = Field(ge=0, le=100)


class Anything(BaseModel):
    """Accepts every object: what must not slip through here slips through nowhere."""

    model_config = ConfigDict(extra="allow")


GOOD = '{"reason": "same director", "score": 85}'
LINK = Link(reason="same director", score=85)


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        f"  {GOOD}\n",
        f"```json\n{GOOD}\n```",
        f"```\n{GOOD}```",
        f"Sure! Here it is:\n```json\n{GOOD}\n```\nAnything else?",
        f"The answer is {GOOD}, I think.",
        f"\ufeff{GOOD}",
        f"{GOOD}\n{GOOD.replace('85', '10')}",
        f"By {{genre}} I mean this: {GOOD}",
        f'He said "well" and then: {GOOD}',
    ],
)
def test_json_is_found_bare_fenced_and_among_words(text):
    assert parse(text, Link) == LINK


def test_braces_and_quotes_inside_strings_do_not_count():
    reason = 'a } brace, a { brace, a \\ and a " quote'
    text = f"Here: {json.dumps({'reason': reason, 'score': 1})} done"
    assert parse(text, Link).reason == reason


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("  \n", "it is empty"),
        ("I cannot say.", "Expecting value at line 1, column 1"),
        (GOOD[:-10], "at line 1"),
        (f"Here: {GOOD[:-1]}", "at line 1"),
        ("{'reason': 'x', 'score': 1}", "Expecting property name"),
        ('{"reason": "x", "score": 1,}', "at line 1"),
        ('{"reason": "x", "score": NaN}', "NaN is not a finite number"),
        ('{"reason": "x", "score": -Infinity}', "-Infinity is not a finite number"),
        ('{"reason": "x", "score": 1e999}', "1e999 is not a finite number"),
        ('{"reason": "x", "score": 1, "score": 99}', "key 'score' stands twice"),
        (f'Here: {GOOD[:-1]}, "score": 99}}', "key 'score' stands twice"),
        ('{"reason": "x", "score": ' + "9" * 5000 + "}", "4300 digits"),
        ('{"reason": "\\ud800", "score": 1}', "surrogates not allowed"),
        ("[" * 100_000, "nested too deeply"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a":' * 100_000 + "1" + "}" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_not_json_is_refused_with_the_reason_and_kept(text, words):
    with pytest.raises(ReplyError, match="not the JSON that was asked for") as caught:
        parse(text, Anything)
    assert words in str(caught.value)
    assert caught.value.text == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"reason": "x"}', "does not fit Link: score: Field required"),
        ('{"reason": "x", "score": 101}', "score: Input should be less than or equal to 100"),
        ('{"reason": "x", "score": "high"}', "score: Input should be a valid integer"),
        ('{"reason": "x", "score": 1, "why": 2}', "why: Extra inputs are not permitted"),
        ("[1, 2]", "does not fit Link"),
        ("null", "does not fit Link"),
        ('"text"', "does not fit Link"),
    ],
)
def test_json_that_does_not_fit_is_refused_with_the_field_and_kept(text, words):
    with pytest.raises(ReplyError) as caught:
        parse(text, Link)
    assert words in str(caught.value)
    assert caught.value.text == text


def test_nothing_is_taken_from_inside_an_object_that_was_cut():
    whole = '{"links": [{"reason": "x", "score": 1}, {"reason": "y"'
    with pytest.raises(ReplyError):
        parse(whole, Anything)
    with pytest.raises(ReplyError):
        parse(f"Here: {whole}", Anything)


def test_an_object_that_contradicts_itself_is_not_passed_over_for_a_later_one():
    with pytest.raises(ReplyError, match="key 'score' stands twice"):
        parse(f'Here: {{"score": 1, "score": 2}} or {GOOD}', Link)


def test_only_the_first_errors_are_told_and_foreign_text_is_cut_short():
    text = json.dumps({"k" * 10_000 + str(n): n for n in range(50)})
    with pytest.raises(ReplyError, match="and 49 more") as caught:  # 2 missing + 50 extra - 3 told
        parse(text, Link)
    assert len(str(caught.value)) < 1000


@given(st.text(max_size=300))
def test_no_text_raises_anything_but_a_reply_error(text):
    kept = text
    try:
        parse(text, Anything)
    except ReplyError as error:
        kept = error.text
    assert kept == text


@given(st.dictionaries(st.text(), st.none() | st.integers() | st.text() | st.lists(st.booleans())))
def test_every_object_survives_prose_around_it(value: dict[str, Any]):
    text = f"Here you are: {json.dumps(value)} That is all."
    assert parse(text, Anything).model_extra == value


@pytest.mark.parametrize(
    "text",
    [
        "{" * 1_000_000,
        "{}" * 500_000 + "x",
        "{x}" * 330_000,
        '{"' * 500_000,
        "{" + '"' * 999_999,
        "```\n" + "\n" * 1_000_000,
        "x" * 1_000_000,
        '{"a": "' + "\\" * 1_000_000,
        '{"a": ' + '{"b": "c"} ' * 100_000,
    ],
    ids=range(9),
)
def test_a_hostile_megabyte_is_refused_in_a_moment(text):
    started = time.monotonic()
    try:
        parse(text, Link)
    except ReplyError:
        pass
    else:
        raise AssertionError("nothing here fits")
    assert time.monotonic() - started < 5  # all take well under a second, also on a slow machine


def test_an_honest_megabyte_is_read():
    assert parse(json.dumps({"reason": "é" * 1_000_000, "score": 1}), Link).score == 1


def test_a_schema_is_one_line_and_describes_the_model():
    schema = schema_of(Link)
    assert "\n" not in schema
    jsonschema.validate(json.loads(GOOD), json.loads(schema))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"reason": "x", "score": 101}, json.loads(schema))


def test_a_schema_keeps_the_order_of_the_fields():
    class Last(BaseModel):
        zeal: str
        answer: str

    assert list(json.loads(schema_of(Last))["properties"]) == ["zeal", "answer"]
