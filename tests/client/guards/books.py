"""The database of an app, by each kind of connection that the guards know: opened, with the guards' tables and one of
the app's own, in which its handlers write down what they do."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from oncepay.client.guards import async_link_of, link_of, transactions

AT_ONCE: Final = 40  # connections: fewer than a server has

OWN: Final = (
    "CREATE TABLE IF NOT EXISTS deed (order_no VARCHAR(64), what VARCHAR(200), minor BIGINT)",
    "CREATE TABLE IF NOT EXISTS orders (order_no VARCHAR(64) PRIMARY KEY)",
)
EMPTY: Final = tuple(
    f"DELETE FROM {table}"
    for table in (
        *("deed", "orders", "oncepay_inbox", "oncepay_watch", "oncepay_feed", "oncepay_submission", "oncepay_aside"),
    )
)


@dataclass
class Where:
    """What there is to connect to. Asked for only by the kinds that need it."""

    folder: Path
    postgres: Callable[[], str]
    mariadb: Callable[[], str]


@dataclass
class Books:
    """A database for threads. ``begin``: as the guards want it."""

    begin: Any

    def make_tables(self) -> None:
        """The guards'."""
        with self.begin() as within:
            link_of(within).make_tables()

    def make(self) -> None:
        """All its tables, empty."""
        self.make_tables()
        for statement in (*OWN, *EMPTY):
            self.run(statement)

    def run(self, sql: str, *values: Any) -> list[Any]:
        """One statement in a transaction of its own, with ? for values."""
        with self.begin() as within:
            return self.write(within, sql, *values)

    def write(self, within: Any, sql: str, *values: Any) -> list[Any]:
        """One statement in a transaction, with ? for values."""
        link = link_of(within)
        text, given = _worded(sql, values, link.style)
        found: Any = link.execute(text, given, reads=sql.startswith("SELECT"))
        return found if isinstance(found, list) else []


@dataclass
class AsyncBooks:
    """The same for asyncio."""

    begin: Any

    async def make_tables(self) -> None:
        async with self.begin() as within:
            await async_link_of(within).make_tables()

    async def make(self) -> None:
        await self.make_tables()
        for statement in (*OWN, *EMPTY):
            await self.run(statement)

    async def run(self, sql: str, *values: Any) -> list[Any]:
        async with self.begin() as within:
            return await self.write(within, sql, *values)

    async def write(self, within: Any, sql: str, *values: Any) -> list[Any]:
        link = async_link_of(within)
        text, given = _worded(sql, values, link.style)
        found: Any = await link.execute(text, given, reads=sql.startswith("SELECT"))
        return found if isinstance(found, list) else []


def _worded(sql: str, values: tuple[Any, ...], style: str) -> tuple[str, Any]:
    marks = {
        "qmark": ["?"] * len(values),
        "format": ["%s"] * len(values),
        "named": [f":v{n}" for n in range(len(values))],
        "dollar": [f"${n}" for n in range(1, len(values) + 1)],
    }[style]
    parts = sql.split("?")
    text = parts[0] + "".join(mark + part for mark, part in zip(marks, parts[1:], strict=True))
    return text, {f"v{n}": value for n, value in enumerate(values)} if style == "named" else values


# -- for threads -------------------------------------------------------------------------------------------------


def _few(begin: Any) -> Any:
    """Not more transactions at once than the server has connections."""
    room = threading.BoundedSemaphore(AT_ONCE)

    @contextmanager
    def few() -> Iterator[Any]:
        with room, begin() as within:
            yield within

    return few


@contextmanager
def _sqlite3(where: Where) -> Iterator[Any]:
    file = where.folder / "shop.db"
    with closing(sqlite3.connect(file)) as link:
        link.execute("PRAGMA journal_mode = WAL")
    yield transactions.dbapi(lambda: sqlite3.connect(file, timeout=60.0))


@contextmanager
def _psycopg(where: Where) -> Iterator[Any]:
    import psycopg

    url = where.postgres()
    yield _few(transactions.dbapi(lambda: psycopg.connect(url)))


@contextmanager
def _pymysql(where: Where) -> Iterator[Any]:
    import pymysql

    place = urlsplit(where.mariadb())
    name = place.path.lstrip("/")
    yield _few(
        transactions.dbapi(
            lambda: pymysql.connect(
                host=place.hostname, port=place.port, user=place.username, database=name, ssl_disabled=True
            )
        )
    )


@contextmanager
def _sqlalchemy(url: str, **options: Any) -> Iterator[Any]:
    from sqlalchemy import create_engine
    from sqlalchemy.orm import sessionmaker

    engine = create_engine(url, **options)
    try:
        yield sessionmaker(engine).begin
    finally:
        engine.dispose()


@contextmanager
def _sqlalchemy_postgres(where: Where) -> Iterator[Any]:
    url = where.postgres().replace("postgresql://", "postgresql+psycopg://")
    with _sqlalchemy(url, pool_size=AT_ONCE, max_overflow=0, pool_timeout=60) as begin:
        yield begin


@contextmanager
def _sqlalchemy_sqlite(where: Where) -> Iterator[Any]:
    with _sqlalchemy(f"sqlite:///{where.folder}/shop.db", connect_args={"timeout": 60.0}) as begin:
        yield begin


@contextmanager
def _sqlalchemy_mariadb(where: Where) -> Iterator[Any]:
    url = where.mariadb().replace("mysql://", "mysql+pymysql://")
    options = {"connect_args": {"ssl_disabled": True}, "pool_size": AT_ONCE, "max_overflow": 0, "pool_timeout": 60}
    with _sqlalchemy(url, **options) as begin:
        yield begin


@contextmanager
def _django(database: dict[str, Any]) -> Iterator[Any]:
    import django as framework
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        settings.configure(DATABASES={}, LOGGING_CONFIG=None)
        framework.setup()
    connections.settings.update(connections.configure_settings({"default": {}, ALIAS: database}))

    @contextmanager
    def begin() -> Iterator[Any]:
        """As in a request, after which Django lets go of the thread's connection."""
        try:
            with transactions.django(ALIAS)() as within:
                yield within
        finally:
            connections[ALIAS].close()
            del connections[ALIAS]

    yield _few(begin)
    del connections.settings[ALIAS]


ALIAS: Final = "shop"


@contextmanager
def _django_postgres(where: Where) -> Iterator[Any]:
    place = urlsplit(where.postgres())
    database = {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": place.hostname,
        "PORT": place.port,
        "USER": place.username,
        "PASSWORD": place.password,
        "NAME": place.path.lstrip("/"),
    }
    with _django(database) as begin:
        yield begin


@contextmanager
def _django_sqlite(where: Where) -> Iterator[Any]:
    options = {"timeout": 60.0}
    name = str(where.folder / "shop.db")
    with _django({"ENGINE": "django.db.backends.sqlite3", "NAME": name, "OPTIONS": options}) as begin:
        yield begin


KINDS: Final[dict[str, Any]] = {
    "sqlite3": _sqlite3,
    "psycopg": _psycopg,
    "pymysql": _pymysql,
    "sqlalchemy-sqlite": _sqlalchemy_sqlite,
    "sqlalchemy-psycopg": _sqlalchemy_postgres,
    "sqlalchemy-pymysql": _sqlalchemy_mariadb,
    "django": _django_postgres,
    "django-sqlite": _django_sqlite,
}


@contextmanager
def open_books(kind: str, where: Where) -> Iterator[Books]:
    """A database of this kind; ``make`` its tables."""
    with KINDS[kind](where) as begin:
        yield Books(begin)


# -- for asyncio -------------------------------------------------------------------------------------------------


@asynccontextmanager
async def _asyncpg(where: Where) -> AsyncIterator[Any]:
    import asyncpg

    async with asyncpg.create_pool(where.postgres(), min_size=1, max_size=AT_ONCE) as pool:
        yield transactions.asyncpg(pool)


@asynccontextmanager
async def _sqlalchemy_asyncpg(where: Where) -> AsyncIterator[Any]:
    from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine

    url = where.postgres().replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url, pool_size=AT_ONCE, max_overflow=0, pool_timeout=60)
    try:
        yield async_sessionmaker(engine).begin
    finally:
        await engine.dispose()


@asynccontextmanager
async def _psycopg_async(where: Where) -> AsyncIterator[Any]:
    import psycopg

    url = where.postgres()

    @asynccontextmanager
    async def begin() -> AsyncIterator[Any]:
        async with await psycopg.AsyncConnection.connect(url) as connection:
            yield connection

    yield begin


ASYNC_KINDS: Final[dict[str, Any]] = {
    "asyncpg": _asyncpg,
    "sqlalchemy-asyncpg": _sqlalchemy_asyncpg,
    "psycopg-async": _psycopg_async,
}


@asynccontextmanager
async def open_async_books(kind: str, where: Where) -> AsyncIterator[AsyncBooks]:
    """A database of this kind; ``make`` its tables."""
    async with ASYNC_KINDS[kind](where) as begin:
        yield AsyncBooks(begin)
