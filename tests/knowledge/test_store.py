from __future__ import annotations

import multiprocessing
import sqlite3

import pytest
from contracts.knowledge import KnowledgeContract, lesson, link

from llmrg.errors import ConfigError, KnowledgeError
from llmrg.knowledge.store import KnowledgeStore, user_token
from llmrg.knowledge.summary import show_links


def url_of(folder):
    return f"sqlite:///{folder}/knowledge.db"


class TestKnowledgeStore(KnowledgeContract):
    def open(self, folder):
        return KnowledgeStore(url_of(folder))


def _teach(url, name, count):
    store = KnowledgeStore(url)
    for i in range(count):
        store.learn("s", f"{name}-{i}", [lesson(link(target=f"{name}-{i}"), rank=i, token=name)])
    store.close()


def test_two_processes_that_learn_at_once_lose_nothing(tmp_path):
    url = url_of(tmp_path)
    KnowledgeStore(url).close()
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_teach, args=(url, name, 40)) for name in ("p", "q")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join(60)
    assert [writer.exitcode for writer in writers] == [0, 0]
    store = KnowledgeStore(url)
    assert store.stats().links == 80
    store.close()


def test_a_newer_schema_is_refused(tmp_path):
    KnowledgeStore(url_of(tmp_path)).close()
    with sqlite3.connect(tmp_path / "knowledge.db") as connection:
        connection.execute("UPDATE meta SET value = '99' WHERE name = 'schema'")
    connection.close()
    with pytest.raises(KnowledgeError, match=r"schema 99.*upgrade"):
        KnowledgeStore(url_of(tmp_path))


def test_a_file_that_is_no_database_is_refused(tmp_path):
    (tmp_path / "knowledge.db").write_text("not a database, but long enough to be read as one" * 9)
    with pytest.raises(KnowledgeError, match="not a usable knowledge base"):
        KnowledgeStore(url_of(tmp_path))


def test_a_url_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="not a knowledge base URL"):
        KnowledgeStore("knowledge.db")


def test_the_database_holds_tokens_and_never_user_ids(tmp_path):
    store = KnowledgeStore(url_of(tmp_path))
    token = user_token("s", "anna@example.org")
    store.learn("s", "r", [lesson(link(), token=token)])
    store.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert token.encode() in content
    assert b"anna" not in content


def test_a_failed_round_leaves_nothing_behind(tmp_path):
    store = KnowledgeStore(url_of(tmp_path))
    broken = lesson(link(), token=None)
    object.__setattr__(broken, "rank", None)  # breaks the second of three statements
    with pytest.raises(KnowledgeError, match="NOT NULL"):
        store.learn("s", "r", [broken])
    assert store.stats().links == 0
    assert store.snapshot("s").observed("a", "b") is None
    assert store.learn("s", "r", [lesson(link())]) == 1
    store.close()


def test_a_lower_rank_that_teaches_later_does_not_lend_its_rank_to_older_words(tmp_path):
    store = KnowledgeStore(url_of(tmp_path))
    store.learn("s", "r1", [lesson(link(), rank=30)])
    store.learn("s", "r2", [lesson(link(), rank=2)])
    assert store.snapshot("s", before=10).observed("a", "b") is None
    store.close()
    again = KnowledgeStore(url_of(tmp_path))
    assert again.snapshot("s", before=10).observed("a", "b") is None
    assert again.snapshot("s", before=31).observed("a", "b") == link()
    again.close()


def test_links_are_shown_best_supported_first_with_honest_counts(tmp_path):
    store = KnowledgeStore(url_of(tmp_path))
    store.learn("s", "r", [lesson(link("a", "b"), 0), lesson(link("a", "c"), 0)])
    store.learn("s", "r2", [lesson(link("a", "c"), 1), lesson(link("x", "100%"), 1)])
    shown, total = show_links(store, limit=2)
    assert next(record.link.target.key for record in shown) == "c"
    assert (shown[0].support, len(shown), total) == (2, 2, 3)
    found, total = show_links(store, text="100%")
    assert ([record.link.target.key for record in found], total) == (["100%"], 1)
    assert show_links(store, text="title of B")[1] == 1
    store.close()
