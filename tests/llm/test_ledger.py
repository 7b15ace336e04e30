"""The ledger: nothing paid for is lost, repeated, mixed up or trusted when damaged."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from contracts.llm import a_request
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llmrg.errors import ConfigError, DataError, MissingExtra
from llmrg.llm.base import Reply, Usage
from llmrg.llm.ledger import Ledger

REPLY = Reply("forty-two", "length", Usage(7, 3, 4, 2), model="tiny-served", latency_s=0.5)


def sql(folder: Path, statement: str, *values: object) -> list[tuple[object, ...]]:
    """Run a statement behind the ledger's back."""
    with sqlite3.connect(folder / "ledger.db") as connection:
        rows = connection.execute(statement, values).fetchall()
    connection.close()
    return rows


def test_a_reply_is_found_by_the_digest_of_its_request(ledger):
    ledger.put(a_request("a"), REPLY)
    assert ledger.get(a_request("a").digest()) == replace(REPLY, from_ledger=True)
    assert ledger.get(a_request("b").digest()) is None


def test_a_reply_outlives_the_ledger_that_took_it(tmp_path):
    url = f"sqlite:///{tmp_path}/deep/er/ledger.db"
    with Ledger(url) as ledger:
        ledger.put(a_request(), REPLY)
    with Ledger(url) as ledger:
        assert ledger.get(a_request().digest()) == replace(REPLY, from_ledger=True)


def test_the_first_reply_to_a_request_stays(ledger):
    ledger.put(a_request(), REPLY)
    ledger.put(a_request(), Reply("another"))
    assert ledger.get(a_request().digest()).text == "forty-two"


def test_a_row_can_be_read_with_any_sqlite_tool(ledger, tmp_path):
    ledger.put(a_request("é"), REPLY, llm="openai:tiny")
    rows = sql(
        tmp_path,
        "select llm, stage, model, json_extract(request, '$.messages[0].content'), "
        "json_extract(reply, '$'), finish_reason, json_extract(usage, '$.input_tokens'), "
        "served_model, latency_s, created_at like '____-__-__T__:__:__.___+00:00' "
        "from ledger_replies",
    )
    expected = ("openai:tiny", "chain", "tiny", "é", "forty-two", "length", 7, "tiny-served", 0.5)
    assert rows == [(*expected, 1)]


@given(text=st.text(st.characters()), asked=st.text(st.characters()))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_every_text_comes_back_as_it_was(ledger, text, asked):
    # One ledger serves all examples: the prompt tells equal questions apart.
    request = a_request(asked, prompt=uuid4().hex)
    ledger.put(request, Reply(text))
    assert ledger.get(request.digest()).text == text


@pytest.mark.parametrize("text", ["\0", "half \ud83d a character", "\ud83d\ud83d", "\u2028'\"\\"])
def test_text_no_database_likes_comes_back_as_it_was(ledger, text):
    ledger.put(a_request(text, stage=text), Reply(text, model=text))
    assert ledger.get(a_request(text, stage=text).digest()).text == text


def test_a_latency_in_whole_seconds_does_not_look_like_damage(ledger):
    ledger.put(a_request(), Reply("x", latency_s=2))  # SQLite gives it back as 2.0
    assert ledger.get(a_request().digest()).latency_s == 2


def test_who_answered_is_known(ledger):
    ledger.put(a_request("a", model="m2"), REPLY, llm="openai:m2")
    ledger.put(a_request("b", model="m1"), REPLY, llm="openai:m1")
    ledger.put(a_request("c", model="m1"), REPLY, llm="openai:m1")
    assert ledger.sources() == [("openai:m1", "m1"), ("openai:m2", "m2")]


# --- damage --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "damage",
    [
        "reply = '\"forty-three\"'",
        "reply = 'forty-two'",
        "reply = cast(x'22ff22' as text)",
        "reply = x'00ff'",
        "request = '{}'",
        "finish_reason = 'stop'",
        "usage = '{}'",
        "usage = 7",
        "served_model = ''",
        "latency_s = 'slow'",
        "created_at = ''",
        "llm = 'openai:other'",
        "checksum = ''",
        "checksum = x'ff'",
    ],
)
def test_a_damaged_row_counts_as_absent_and_is_set_aside(ledger, tmp_path, damage):
    digest = a_request().digest()
    ledger.put(a_request(), REPLY, llm="openai:tiny")
    sql(tmp_path, f"update ledger_replies set {damage}")
    assert ledger.get(digest) is None
    assert sql(tmp_path, "select digest from ledger_quarantine") == [(digest,)]
    assert sql(tmp_path, "select count(*) from ledger_replies") == [(0,)]
    ledger.put(a_request(), Reply("paid again"))
    assert ledger.get(digest).text == "paid again"


def test_a_row_moved_under_another_digest_does_not_answer_there(ledger, tmp_path):
    ledger.put(a_request("a"), REPLY)
    sql(tmp_path, "update ledger_replies set digest = ?", a_request("b").digest())
    assert ledger.get(a_request("b").digest()) is None


def test_undamaged_rows_stay_when_another_is_set_aside(ledger, tmp_path):
    for text in "ab":
        ledger.put(a_request(text), REPLY)
    sql(tmp_path, "update ledger_replies set reply = '' where digest = ?", a_request("a").digest())
    assert ledger.get(a_request("a").digest()) is None
    assert ledger.get(a_request("b").digest()) == replace(REPLY, from_ledger=True)


def test_a_newer_ledger_is_refused_and_left_alone(tmp_path):
    url = f"sqlite:///{tmp_path}/ledger.db"
    Ledger(url).close()
    sql(tmp_path, "update ledger_version set version = 2")
    with pytest.raises(DataError, match=r"ledger\.db: ledger version 2, .* reads version 1"):
        Ledger(url)
    assert sql(tmp_path, "select version from ledger_version") == [(2,)]


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "ledger.db").write_text("my shopping list " * 100)
    with pytest.raises(DataError, match=r"cannot be used: .*not a database"):
        Ledger(f"sqlite:///{tmp_path}/ledger.db")
    assert (tmp_path / "ledger.db").read_text().startswith("my shopping list")


def test_a_full_disk_is_an_error_with_a_way_out_and_keeps_what_was_there(ledger, tmp_path):
    ledger.put(a_request("a"), REPLY)
    limit_to_pages_in_use(ledger)
    with pytest.raises(DataError, match=r"is full; .* that the disk has room"):
        ledger.put(a_request("b"), Reply("x" * 1_000_000))
    assert ledger.get(a_request("a").digest()) == replace(REPLY, from_ledger=True)


def limit_to_pages_in_use(ledger: Ledger) -> None:
    """Make SQLite report a full disk: the limit holds for the pooled connection."""
    with ledger._engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count = 1")  # means: not one page more


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("runs/ledger.db", "not a ledger URL; write it as sqlite:///PATH"),
        ("sqlite://", "must outlive the process"),
        ("sqlite:///:memory:", "must outlive the process"),
        ("mysql://me:hunter2@host/db", "cannot be kept in mysql"),
        ("sqlite:////proc/nowhere/ledger.db", "name a folder that can be made"),
    ],
)
def test_a_url_that_cannot_hold_a_ledger_is_refused(url, words):
    with pytest.raises(ConfigError, match=words) as caught:
        Ledger(url)
    assert "hunter2" not in str(caught.value)


def test_postgresql_needs_its_driver(monkeypatch):
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r'psycopg; run: pip install "llmrg\[cluster\]"'):
        Ledger("postgresql+psycopg://me@localhost/ledger")


# --- company -------------------------------------------------------------------------------------

WRITER = """
import sys
from llmrg.llm.base import Message, Reply, Request
from llmrg.llm.ledger import Ledger

url, name, start, stop = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
sys.stdin.readline()
with Ledger(url) as ledger:
    for n in range(start, stop):
        request = Request("chain", "tiny", (Message("user", str(n)),), "")
        ledger.put(request, Reply(f"{name} {n}"), llm=name)
        print(n, flush=True)
"""


@pytest.fixture
def writer(tmp_path: Path):
    """Start a process that waits for a line and then writes replies to requests start..stop."""
    processes: list[subprocess.Popen[str]] = []

    def start(name: str, first: int, last: int) -> subprocess.Popen[str]:
        arguments = [f"sqlite:///{tmp_path}/ledger.db", name, str(first), str(last)]
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        processes.append(process)
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def numbered(n: int) -> str:
    return a_request(str(n), prompt="").digest()


Writer = Callable[[str, int, int], subprocess.Popen[str]]


def test_two_processes_share_a_new_ledger_and_the_first_reply_to_each_request_stays(
    writer: Writer, tmp_path: Path
):
    both = [writer("a", 0, 150), writer("b", 100, 250)]
    for process in both:  # they open the ledger, and make it, at the same moment
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in both:
        process.communicate(timeout=60)
        assert process.returncode == 0
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        texts = [ledger.get(numbered(n)).text for n in range(250)]
        assert ledger.sources() == [("a", "tiny"), ("b", "tiny")]
    assert texts[:100] == [f"a {n}" for n in range(100)]
    assert texts[150:] == [f"b {n}" for n in range(150, 250)]
    assert all(text in (f"a {n}", f"b {n}") for n, text in enumerate(texts[100:150], start=100))
    assert sql(tmp_path, "select count(*) from ledger_replies") == [(250,)]
    assert sql(tmp_path, "select version from ledger_version") == [(1,)]


def test_what_was_put_survives_a_kill(writer: Writer, tmp_path: Path):
    process = writer("a", 0, 1_000_000)
    process.stdin.write("go\n")
    process.stdin.flush()
    acknowledged = [int(process.stdout.readline()) for _ in range(50)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate(timeout=60)
    acknowledged += [int(line) for line in rest.splitlines()]
    with Ledger(f"sqlite:///{tmp_path}/ledger.db") as ledger:
        assert [ledger.get(numbered(n)).text for n in acknowledged] == [
            f"a {n}" for n in acknowledged
        ]
    assert sql(tmp_path, "pragma integrity_check") == [("ok",)]


def test_threads_share_one_ledger(ledger):
    def write(name: str) -> None:
        for n in range(50):
            ledger.put(a_request(f"{name} {n}"), Reply(name))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcdefgh"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for name in "abcdefgh":
        assert ledger.get(a_request(f"{name} 49").digest()).text == name
