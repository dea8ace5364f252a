"""How a guard opens a transaction of the app's: a callable that gives a context manager. What that yields is what the
app's handlers get; at its end all is committed, and on an exception rolled back.

SQLAlchemy's ``sessionmaker(...).begin``, ``engine.begin``, their asyncio kin, and psycopg's
``ConnectionPool.connection`` are such callables as they are. For what is not, there are those here.
"""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
    suppress,
)
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

Begin = Callable[[], AbstractContextManager[T]]
AsyncBegin = Callable[[], AbstractAsyncContextManager[T]]


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
