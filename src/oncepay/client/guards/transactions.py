"""How a guard opens a transaction of the app's: a callable that gives a context manager. What that yields is what the
app's handlers get; at its end all is committed, and on an exception rolled back.

SQLAlchemy's ``sessionmaker(...).begin``, ``engine.begin``, their asyncio kin, and psycopg's
``ConnectionPool.connection`` are such callables as they are. For what is not, there are those here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import Any, Final, Protocol, TypeVar

T = TypeVar("T")

Begin = Callable[[], AbstractContextManager[T]]
AsyncBegin = Callable[[], AbstractAsyncContextManager[T]]


TRIES_MAX: Final = 5
_PASSING_STATES: Final = frozenset({"40001", "40P01"})  # SQL: serialization failure; PostgreSQL: deadlock
_PASSING_NUMBERS: Final = frozenset({1020, 1213})  # MariaDB: the row has changed meanwhile; MySQL: deadlock


def passes(error: BaseException) -> bool:
    """Whether the database ended a transaction only because another was in its way, so that it is to be run again.
    InnoDB does so to those who wait for a row whose insert is rolled back; PostgreSQL under REPEATABLE READ."""
    found: BaseException | None = error
    while found is not None:  # SQLAlchemy and Django raise what is theirs from what is the driver's
        state = getattr(found, "sqlstate", None) or getattr(found, "pgcode", None)
        number = found.args[0] if state is None and found.args else None
        # A framework's errors have a mapping or a list there, which cannot be looked for in a set.
        if isinstance(state, str) and state in _PASSING_STATES:
            return True
        if isinstance(number, int) and number in _PASSING_NUMBERS:
            return True
        found = found.__cause__
    return False


def persist(run: Callable[[], T]) -> T:
    """Run a whole transaction, a few times if it has to be."""
    for _ in range(TRIES_MAX - 1):
        try:
            return run()
        except Exception as error:
            if not passes(error):
                raise
    return run()


async def persist_async(run: Callable[[], Awaitable[T]]) -> T:
    """The same for asyncio."""
    for _ in range(TRIES_MAX - 1):
        try:
            return await run()
        except Exception as error:
            if not passes(error):
                raise
    return await run()


class DbapiConnection(Protocol):
    """What is used of a connection as PEP 249 has it."""

    def cursor(self) -> Any: ...

    def commit(self) -> Any: ...

    def rollback(self) -> Any: ...

    def close(self) -> Any: ...


C = TypeVar("C", bound=DbapiConnection)


def dbapi(connect: Callable[[], C]) -> Begin[C]:
    """A connection for each transaction, closed at its end: ``dbapi(lambda: sqlite3.connect("shop.db"))``, or the
    ``connect`` of a pool. Not for drivers that are told to commit by themselves (psycopg's ``autocommit=True``)."""

    @contextmanager
    def begin() -> Iterator[C]:
        connection = connect()
        try:
            if isinstance(connection, sqlite3.Connection) and not connection.in_transaction:
                # A transaction that begins by reading may not write later, if somebody else wrote in between.
                connection.execute("BEGIN IMMEDIATE")
            yield connection
            connection.commit()
        except BaseException:
            with suppress(Exception):  # it may be gone: what went wrong first is what must be heard
                connection.rollback()
            raise
        finally:
            connection.close()

    return begin


def django(using: str = "default") -> Begin[Any]:
    """``transaction.atomic`` of the database with that alias; handlers get its connection, and may use the ORM. It must
    not stand inside another ``atomic``: what a guard answers must be true once it is said."""

    @contextmanager
    def begin() -> Iterator[Any]:
        from django.db import connections, transaction

        connections[using].close_if_unusable_or_obsolete()  # as at a request: a consumer's thread lives for months
        with transaction.atomic(using=using, durable=True):
            yield connections[using]

    return begin


def asyncpg(pool: Any) -> AsyncBegin[Any]:
    """A connection of an asyncpg pool."""

    @asynccontextmanager
    async def begin() -> AsyncIterator[Any]:
        async with pool.acquire() as connection, connection.transaction():
            yield connection

    return begin
