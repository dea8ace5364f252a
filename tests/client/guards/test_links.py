"""The seam to the app's connection: it knows what it knows, and refuses what would not be one transaction."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pymysql
import pytest
from psycopg.rows import dict_row

from oncepay.client.guards import (
    AsyncInbox,
    ConnectionUnknown,
    DbapiLink,
    HandlersMissing,
    Inbox,
    Milestone,
    NotInTransaction,
    async_link_of,
    link_of,
    transactions,
)
from oncepay.client.guards.inbox import listing, taking
from oncepay.client.guards.milestones import WORDS
from tests.client.guards.books import Where
from tests.client.guards.payments import NOW_MS, Story, event_of

PAID = Story().pay()


def test_a_sqlite_connection_that_commits_by_itself_is_refused() -> None:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        with pytest.raises(NotInTransaction, match="begin one"):
            link_of(connection)
        connection.execute("BEGIN")
        link_of(connection).make_tables()
        assert len(link_of(connection).run(taking(PAID, NOW_MS))) == 1


def test_a_postgresql_connection_that_commits_by_itself_is_refused(guards_postgres: str) -> None:
    with psycopg.connect(guards_postgres, autocommit=True) as connection:
        with pytest.raises(NotInTransaction):
            link_of(connection)
        with connection.transaction():
            link_of(connection).make_tables()


def test_a_mariadb_connection_that_commits_by_itself_is_refused(guards_mariadb: str) -> None:
    place = urlsplit(guards_mariadb)
    name = place.path.lstrip("/")
    with closing(
        pymysql.connect(
            host=place.hostname, port=place.port, user=place.username, database=name, autocommit=True, ssl_disabled=True
        )
    ) as connection:
        with pytest.raises(NotInTransaction):
            link_of(connection)
        connection.begin()
        link_of(connection).make_tables()
        connection.begin()
        link_of(connection).run(listing(1))


async def test_connections_for_asyncio_that_commit_by_themselves_are_refused(guards_postgres: str) -> None:
    import asyncpg

    connection = await asyncpg.connect(guards_postgres)
    try:
        with pytest.raises(NotInTransaction):
            async_link_of(connection)
        async with connection.transaction():
            await async_link_of(connection).make_tables()
    finally:
        await connection.close()
    async with await psycopg.AsyncConnection.connect(guards_postgres, autocommit=True) as other:
        with pytest.raises(NotInTransaction):
            async_link_of(other)
        async with other.transaction():
            await async_link_of(other).make_tables()


AUTOCOMMIT = {"isolation_level": "AUTOCOMMIT"}
INBOX_ROWS = "SELECT COUNT(*) FROM oncepay_inbox"


def _engine(kind: str, where: Where, **options: Any) -> Any:
    from sqlalchemy import create_engine

    if kind == "sqlite":
        return create_engine(f"sqlite:///{where.folder}/shop.db", **options)
    if kind == "psycopg":
        return create_engine(where.postgres().replace("postgresql://", "postgresql+psycopg://"), **options)
    arguments = {"ssl_disabled": True, **options.pop("connect_args", {})}
    url = where.mariadb().replace("mysql://", "mysql+pymysql://")
    return create_engine(url, connect_args=arguments, **options)


def _check_refused(begin: Any, engine: Any) -> None:
    """Neither the row nor the handler: it would be run by nobody any more, if the row stayed and it failed."""
    ran: list[Milestone] = []
    inbox: Inbox[Any] = Inbox(begin)
    inbox.on(*WORDS)(lambda _, milestone: ran.append(milestone))
    with pytest.raises(NotInTransaction, match="begin one"):
        inbox.take(PAID)
    assert ran == []
    with engine.connect() as connection:
        assert connection.exec_driver_sql(INBOX_ROWS).scalar() == 0


@pytest.mark.parametrize("kind", ["sqlite", "psycopg", "pymysql"])
def test_sqlalchemy_that_was_told_to_commit_by_itself_is_refused(kind: str, where: Where) -> None:
    from sqlalchemy.orm import sessionmaker

    plain = _engine(kind, where)
    with plain.begin() as connection:
        link_of(connection).make_tables()
        connection.exec_driver_sql("DELETE FROM oncepay_inbox")
    told = _engine(kind, where, **AUTOCOMMIT)
    behind = {"sqlite": {"isolation_level": None}, "psycopg": {"autocommit": True}, "pymysql": {"autocommit": True}}
    driver = _engine(kind, where, connect_args=behind[kind])
    for engine in (told, plain.execution_options(**AUTOCOMMIT), driver):
        for begin in (engine.begin, sessionmaker(engine).begin):
            _check_refused(begin, plain)
    for engine in (plain, told, driver):
        engine.dispose()


@pytest.mark.parametrize("kind", ["sqlite", "psycopg", "pymysql"])
def test_sqlalchemy_in_a_transaction_is_taken_however_it_began(kind: str, where: Where) -> None:
    from sqlalchemy import event
    from sqlalchemy.orm import Session, sessionmaker

    plain = _engine(kind, where)
    strict = plain.execution_options(isolation_level="SERIALIZABLE")
    # An engine that commits by itself, of which this transaction is told otherwise.
    told = _engine(kind, where, **AUTOCOMMIT).execution_options(isolation_level="SERIALIZABLE")
    # SQLAlchemy's own recipe for SQLite: the driver begins nothing, the app does.
    recipe = _engine(kind, where, connect_args={"isolation_level": None} if kind == "sqlite" else {})
    if kind == "sqlite":
        event.listen(recipe, "begin", lambda connection: connection.exec_driver_sql("BEGIN"))
    for engine in (plain, strict, told, recipe):
        with engine.connect() as connection:  # which begins by the first statement
            _check_rows(connection)
            connection.rollback()
        with sessionmaker(engine).begin() as session:
            _check_rows(session)
        with engine.connect() as outer, outer.begin() as around:
            with Session(outer, join_transaction_mode="create_savepoint") as inner, inner.begin():
                assert link_of(inner).run(listing(1)) == []
            around.rollback()
        engine.dispose()


async def test_sqlalchemy_for_asyncio_that_was_told_so_is_refused_too(guards_postgres: str) -> None:
    from sqlalchemy import text
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

    for scheme in ("postgresql+asyncpg://", "postgresql+psycopg://"):
        url = guards_postgres.replace("postgresql://", scheme)
        plain, told = create_async_engine(url), create_async_engine(url, **AUTOCOMMIT)
        strict = told.execution_options(isolation_level="SERIALIZABLE")
        async with plain.begin() as connection:
            await async_link_of(connection).make_tables()
            await connection.execute(text("DELETE FROM oncepay_inbox"))
        for engine in (told, plain.execution_options(**AUTOCOMMIT)):
            for begin in (engine.begin, async_sessionmaker(engine).begin):
                with pytest.raises(NotInTransaction):
                    async with begin() as within:
                        await async_link_of(within).run(taking(PAID, NOW_MS))
        async with plain.connect() as connection:
            assert (await connection.execute(text(INBOX_ROWS))).scalar() == 0
            await connection.rollback()
            begins: list[Any] = [plain.connect, strict.begin, async_sessionmaker(strict).begin]
            for opened in begins:
                async with opened() as within:
                    assert len(await async_link_of(within).run(taking(PAID, NOW_MS))) == 1
                    await within.rollback()
        await plain.dispose()
        await told.dispose()


class Stranger:
    """Nobody knows it."""


def test_what_nobody_knows_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConnectionUnknown, match="Stranger is known: pass a link of your own"):
        link_of(Stranger())
    known = "no link for asyncio to a sqlite3.Connection is known"
    with closing(sqlite3.connect(":memory:")) as connection, pytest.raises(ConnectionUnknown, match=known):
        async_link_of(connection)


async def test_a_connection_for_asyncio_is_none_for_threads(guards_postgres: str) -> None:
    async with await psycopg.AsyncConnection.connect(guards_postgres) as connection:
        with pytest.raises(ConnectionUnknown):
            link_of(connection)


def test_a_link_of_ones_own_is_taken_as_it_is(tmp_path: Path) -> None:
    class Wrapped:
        """As a driver of another name would look like."""

        def __init__(self, connection: sqlite3.Connection) -> None:
            self.cursor = connection.cursor

    with closing(sqlite3.connect(tmp_path / "shop.db")) as connection:
        link = DbapiLink(Wrapped(connection), "sqlite", "qmark")
        link.make_tables()
        assert [milestone.word for milestone in link_of(link).run(taking(PAID, NOW_MS))] == ["paid"]


@pytest.mark.parametrize("factory", [None, sqlite3.Row, lambda cursor, row: dict(zip("abcdefg", row, strict=False))])
def test_rows_by_name_are_read_too_sqlite(factory: Callable[..., Any] | None) -> None:
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.row_factory = factory
        _check_rows(connection)


def test_rows_by_name_are_read_too(guards_postgres: str, guards_mariadb: str) -> None:
    with psycopg.connect(guards_postgres, row_factory=dict_row) as connection:
        _check_rows(connection)
    place = urlsplit(guards_mariadb)
    with closing(
        pymysql.connect(
            host=place.hostname, port=place.port, user=place.username, database=place.path.lstrip("/"),
            cursorclass=pymysql.cursors.DictCursor, ssl_disabled=True,
        )
    ) as other:  # fmt: skip
        _check_rows(other)


def _check_rows(connection: Any) -> None:
    link = link_of(connection)
    link.make_tables()
    link.execute("DELETE FROM oncepay_inbox", {} if link.style == "named" else (), reads=False)
    story = Story()
    assert len(link.run(taking(story.pay(), NOW_MS))) == 1
    assert len(link.run(taking(story.refund("R-1", 5, "done"), NOW_MS))) == 1
    assert link.run(taking(story.last, NOW_MS)) == ()


def test_sqlalchemy_has_more_than_sessions() -> None:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import scoped_session, sessionmaker

    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        _check_rows(connection)
    session = scoped_session(sessionmaker(engine))
    _check_rows(session)
    session.remove()
    engine.dispose()


async def test_so_it_has_for_asyncio(guards_postgres: str) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    engine = create_async_engine(guards_postgres.replace("postgresql://", "postgresql+asyncpg://"))
    async with engine.begin() as connection:
        link = async_link_of(connection)
        await link.make_tables()
        await link.execute("DELETE FROM oncepay_inbox", {}, reads=False)
        assert len(await link.run(taking(PAID, NOW_MS))) == 1
        assert await link.run(taking(PAID, NOW_MS)) == ()
    await engine.dispose()


def test_a_database_that_is_none_of_ours_is_refused() -> None:
    from sqlalchemy import create_mock_engine

    class Session:
        """Of SQLAlchemy, on Oracle."""

        dialect = create_mock_engine("sqlite://", lambda *_: None).dialect

    Session.__module__ = "sqlalchemy.orm.session"
    Session.dialect.name = "oracle"
    with pytest.raises(ConnectionUnknown, match="postgresql, sqlite, mysql, mariadb, not to oracle"):
        link_of(Session())


# -- transactions of ours ----------------------------------------------------------------------------------------


def test_a_transaction_is_kept_or_not_and_the_connection_closed(tmp_path: Path) -> None:
    opened: list[sqlite3.Connection] = []

    def connect() -> sqlite3.Connection:
        opened.append(sqlite3.connect(tmp_path / "shop.db"))
        return opened[-1]

    begin = transactions.dbapi(connect)
    with begin() as connection:
        connection.execute("CREATE TABLE t (a)")
        connection.execute("INSERT INTO t VALUES (1)")
    with pytest.raises(sqlite3.ProgrammingError, match="bindings"), begin() as connection:
        connection.executemany("INSERT INTO t VALUES (?)", [(2,), (3, 4)])
    with begin() as connection:
        assert connection.execute("SELECT a FROM t").fetchall() == [(1,)]
    for connection in opened:
        with pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


def test_a_transaction_in_sqlite_may_write_from_its_start(tmp_path: Path) -> None:
    """One that begins by reading would be refused later on, whatever time it is given to wait."""
    begin = transactions.dbapi(lambda: sqlite3.connect(tmp_path / "shop.db", timeout=0.0))
    with begin(), pytest.raises(sqlite3.OperationalError, match="locked"):
        begin().__enter__()


# -- handlers ----------------------------------------------------------------------------------------------------


def shut() -> Any:
    raise AssertionError("no database is opened")


def test_a_milestone_that_nobody_handles_is_no_small_matter(tmp_path: Path) -> None:
    begin = transactions.dbapi(lambda: sqlite3.connect(tmp_path / "shop.db"))
    with begin() as connection:
        link_of(connection).make_tables()
    inbox: Inbox[sqlite3.Connection] = Inbox(begin)
    ran: list[str] = []

    @inbox.on("paid", "closed")
    def remember(_: sqlite3.Connection, milestone: Milestone) -> None:
        ran.append(milestone.word)

    inbox.ignore("surplus.refunded")
    with pytest.raises(HandlersMissing, match=r"refund\.done, refund\.failed, refund\.outside: inbox\.on"):
        inbox.take(event_of(PAID))
    inbox.ignore("refund.done", "refund.failed", "refund.outside")
    assert [milestone.word for milestone in inbox.take(event_of(PAID))] == ["paid"]
    assert ran == ["paid"]


def test_handlers_that_cannot_be_are_refused_at_once() -> None:
    inbox: Inbox[Any] = Inbox(shut)
    with pytest.raises(ValueError, match="there is no 'payed'"):
        inbox.on("payed")  # type: ignore[arg-type]
    inbox.ignore(*WORDS)
    with pytest.raises(ValueError, match="paid has a handler already"):
        inbox.ignore("paid")

    async def late(_: Any, __: Milestone) -> None:
        """Nobody would await it."""

    with pytest.raises(TypeError, match="use AsyncInbox"):
        Inbox(shut).on("paid")(late)  # type: ignore[arg-type]
    AsyncInbox[Any](shut).on("paid")(late)
