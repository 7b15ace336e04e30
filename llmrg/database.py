"""Opens SQL databases: SQLite files by default, PostgreSQL by URL.

SQLite is opened in WAL mode with `synchronous=NORMAL`: a killed process loses no commit, a power
cut may lose the last ones. A WAL file must not lie on a network drive.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from llmrg.errors import ConfigError, LLMRGError, MissingExtra

BUSY_MS = 30_000
"""How long one process waits for another's commit."""


def open_database(url: str, *, what: str) -> sa.Engine:
    """Make an engine whose transactions only read unless `writer_of` made it a writer.

    Args:
        url: such as "sqlite:///runs/ledger.db"; folders are made as needed.
        what: what is kept there, for messages: "ledger", "knowledge base".

    Raises:
        ConfigError: if the URL is none, or names a kind of database that is not supported.
        MissingExtra: if the driver is not installed.
    """
    shown = url.rpartition("@")[2]  # what stands before an @ may be a password
    example = "write it as sqlite:///PATH, such as sqlite:///runs/NAME.db"
    try:
        parsed = sa.make_url(url)
    except sa.exc.ArgumentError:
        raise ConfigError(f"'{shown}' is not a {what} URL; {example}") from None
    kind = parsed.get_backend_name()
    if kind not in ("sqlite", "postgresql"):
        raise ConfigError(f"'{shown}': a {what} cannot be kept in {kind}; {example}")
    if kind == "sqlite":
        if parsed.database in (None, "", ":memory:"):
            raise ConfigError(f"'{shown}': a {what} must outlive the process; {example}")
        try:
            Path(str(parsed.database)).parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(f"'{shown}': {error}; name a folder that can be made") from error
    try:
        engine = sa.create_engine(parsed, hide_parameters=True)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"a {what} in PostgreSQL", package=error.name or "psycopg", extra="cluster"
        ) from error
    if kind == "sqlite":
        sa.event.listen(engine, "connect", _set_up_sqlite)
        sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def writer_of(engine: sa.Engine) -> sa.Engine:
    """The same database for transactions that write: they take their lock at the start."""
    return engine.execution_options(writes=True)


def insert_once(engine: sa.Engine, table: sa.Table) -> sa.Insert:
    """An INSERT that leaves a row alone whose key is there already: the first one stays."""
    if engine.dialect.name == "postgresql":
        return postgresql.insert(table).on_conflict_do_nothing()
    return sqlite.insert(table).on_conflict_do_nothing()


@contextmanager
def translated(make: Callable[[str], LLMRGError]) -> Iterator[None]:
    """Turn errors of the database inside the block into one of ours.

    Args:
        make: the error for the driver's words; SQLAlchemy's own message would quote the values.
    """
    try:
        yield
    except sa.exc.SQLAlchemyError as error:
        raise make(str(getattr(error, "orig", None) or type(error).__name__)) from None


def _set_up_sqlite(connection: Any, record: object) -> None:
    connection.isolation_level = None  # the driver must not open transactions of its own
    # A damaged text must be seen by whoever checks it, not raise while it is read.
    connection.text_factory = lambda raw: raw.decode("utf-8", "replace")
    connection.execute(f"PRAGMA busy_timeout={BUSY_MS}")
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")


def _begin_sqlite(connection: sa.Connection) -> None:
    # A writer takes its lock at the start: upgrading a read lock fails at once when two try it.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
