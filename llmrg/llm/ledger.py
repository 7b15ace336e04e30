"""Every reply ever paid for, found again by the digest of its request.

A reply is committed before anybody sees it, so a crash repeats at most the calls in flight. Rows
are only ever added: the first reply to a request stays its reply.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any, Self, get_args

import sqlalchemy as sa

from llmrg.database import insert_once, open_database, translated, writer_of
from llmrg.errors import DataError
from llmrg.llm.base import FinishReason, Reply, Request, Usage

LEDGER_VERSION = 1

_TABLES = sa.MetaData()
_VERSION = sa.Table("ledger_version", _TABLES, sa.Column("version", sa.Integer, primary_key=True))


def _outcome() -> tuple[sa.Column[Any], ...]:
    """What a row holds besides its digest; the checksum covers all of it."""
    texts = ("llm", "stage", "model", "request", "reply", "finish_reason", "usage", "served_model")
    return (
        *(sa.Column(name, sa.Text, nullable=False) for name in texts),
        sa.Column("latency_s", sa.Double, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),  # UTC, ISO 8601
        sa.Column("checksum", sa.Text, nullable=False),
    )


_REPLIES = sa.Table(
    "ledger_replies", _TABLES, sa.Column("digest", sa.Text, primary_key=True), *_outcome()
)
_QUARANTINE = sa.Table(
    "ledger_quarantine", _TABLES, sa.Column("digest", sa.Text, nullable=False), *_outcome()
)
_CHECKED = [column.name for column in _REPLIES.columns if column.name != "checksum"]


class Ledger:
    """Replies by request digest; any number of threads and processes may share one.

    Args:
        url: where it lies, such as "sqlite:///runs/ledger.db"; folders are made as needed.

    Raises:
        ConfigError: if the URL is not one of a database that can hold a ledger.
        DataError: if the file is not a ledger, or a newer llmrg wrote it.
        MissingExtra: if the URL names PostgreSQL and psycopg is not installed.
    """

    def __init__(self, url: str) -> None:
        self._engine = open_database(url, what="ledger")
        self._writer = writer_of(self._engine)
        # SQLite lets waiting writers poll; a lock lets those of this process queue instead.
        self._writing = threading.Lock()
        self._place = self._engine.url.render_as_string(hide_password=True)
        self._prepare()

    def __repr__(self) -> str:
        return f"Ledger({self._place!r})"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Release the database."""
        self._engine.dispose()

    def get(self, digest: str) -> Reply | None:
        """Return the reply kept for a request, or None.

        A row that fails its checksum counts as absent and is moved to the quarantine table.

        Raises:
            DataError: if the database cannot be read.
        """
        with self._read() as connection:
            row = connection.execute(_row(digest)).first()
        if row is None:
            return None
        reply = _reply_of(row)
        if reply is None:
            self._set_aside(digest)
        return reply

    def put(self, request: Request, reply: Reply, *, llm: str = "") -> None:
        """Commit the reply to a request; if one is kept already, that one stays.

        Args:
            llm: `LLM.name` of whoever answered; a recording answers under the same name.

        Raises:
            DataError: if the database cannot be written.
        """
        row = {
            "digest": request.digest(),
            "llm": _label(llm),
            "stage": _label(request.stage),
            "model": _label(request.model),
            "request": _escaped(request.canonical()),
            "reply": _escaped(json.dumps(reply.text, ensure_ascii=False)),
            "finish_reason": reply.finish_reason,
            "usage": json.dumps(asdict(reply.usage)),
            "served_model": _label(reply.model),
            "latency_s": float(reply.latency_s),
            "created_at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        }
        row["checksum"] = _checksum([row[name] for name in _CHECKED])
        with self._write() as connection:
            connection.execute(insert_once(self._engine, _REPLIES).values(row))

    def sources(self) -> list[tuple[str, str]]:
        """Who answered: every pair of LLM name and model in the ledger, sorted."""
        pairs = sa.select(_REPLIES.c.llm, _REPLIES.c.model).distinct()
        with self._read() as connection:
            return sorted((llm, model) for llm, model in connection.execute(pairs))

    def _prepare(self) -> None:
        """Make the tables if there are none, and refuse those of a later version."""
        with self._read() as connection:
            exists = sa.inspect(connection).has_table(_VERSION.name)
        if not exists:
            with self._write() as connection:
                _TABLES.create_all(connection)
                if connection.execute(sa.select(_VERSION)).first() is None:
                    connection.execute(sa.insert(_VERSION).values(version=LEDGER_VERSION))
        with self._read() as connection:
            version = connection.execute(sa.select(sa.func.max(_VERSION.c.version))).scalar()
        if version != LEDGER_VERSION:
            self.close()
            raise DataError(
                f"{self._place}: ledger version {version}, but this llmrg reads version "
                f"{LEDGER_VERSION}; upgrade llmrg or name another ledger"
            )

    def _set_aside(self, digest: str) -> None:
        with self._write() as connection:
            row = connection.execute(_row(digest)).first()
            if row is None or _reply_of(row) is not None:
                return  # another process has moved it, and perhaps replaced it, since
            columns = [column.name for column in _REPLIES.columns]
            connection.execute(sa.insert(_QUARANTINE).from_select(columns, _row(digest)))
            connection.execute(sa.delete(_REPLIES).where(_REPLIES.c.digest == digest))

    @contextmanager
    def _read(self) -> Iterator[sa.Connection]:
        with translated(self._unusable), self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _write(self) -> Iterator[sa.Connection]:
        with translated(self._unusable), self._writing, self._writer.begin() as connection:
            yield connection

    def _unusable(self, reason: str) -> DataError:
        return DataError(
            f"{self._place}: the ledger cannot be used: {reason}; check that the file is a "
            "ledger, that it may be written, and that the disk has room"
        )


def _row(digest: str) -> sa.Select[Any]:
    return sa.select(_REPLIES).where(_REPLIES.c.digest == digest)


def _reply_of(row: sa.Row[Any]) -> Reply | None:
    """The reply in a row, or None if the row is not as it was written."""
    kept = row._mapping
    if kept["checksum"] != _checksum([kept[name] for name in _CHECKED]):
        return None
    try:
        text, usage = json.loads(kept["reply"]), Usage(**json.loads(kept["usage"]))
    except (TypeError, ValueError):
        return None
    if not isinstance(text, str) or kept["finish_reason"] not in get_args(FinishReason):
        return None
    return Reply(
        text=text,
        finish_reason=kept["finish_reason"],
        usage=usage,
        model=kept["served_model"],
        latency_s=kept["latency_s"],
        from_ledger=True,
    )


def _checksum(values: list[Any]) -> str:
    return hashlib.sha256(json.dumps(values, default=repr).encode()).hexdigest()


def _label(text: str) -> str:
    """A short text that every database can hold: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")


def _escaped(text: str) -> str:
    """JSON text that every database can hold: lone surrogates as their JSON escapes."""
    return text.encode("utf-8", "backslashreplace").decode()
