"""One seam to every kind of connection an app may have: how to carry a script out on it, in the transaction it is in.

``link_of`` and ``async_link_of`` know SQLAlchemy's sessions and connections, Django's connections, asyncpg's, and the
DB-API drivers in ``DRIVERS``. For another driver make the link yourself, and pass it where a connection is asked for:
``DbapiLink(connection, "mysql", "format")``.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final, NamedTuple, TypeVar

from oncepay.client.guards.dialects import Dialect, Style, table_statements, text_of
from oncepay.client.guards.errors import ConnectionUnknown, NotInTransaction
from oncepay.client.guards.scripts import Do, Row, Script

T = TypeVar("T")


class _Worded:
    """What all links have: the words of their database and of their driver."""

    def __init__(self, connection: Any, dialect: Dialect, style: Style) -> None:
        self.connection = connection
        self.dialect = dialect
        self.style = style

    def words(self, do: Do) -> tuple[str, Any]:
        """A statement and its values as the driver takes them."""
        sql, names = text_of(do.statement, self.dialect, self.style)
        if self.style == "named":
            return sql, {name: do.values[name] for name in names}
        return sql, tuple(do.values[name] for name in names)


class Link(_Worded, ABC):
    """Carries scripts out, waiting for each statement."""

    @abstractmethod
    def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """One statement: its rows when it ``reads``, else how many rows it changed."""

    def run(self, script: Script[T]) -> T:
        """A whole script; what it returns."""
        answer: Any = None
        while True:
            try:
                do = script.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = self.execute(*self.words(do), reads=do.reads)

    def make_tables(self) -> None:
        """The guards' tables, those that are not there yet."""
        for statement in table_statements(self.dialect):
            self.execute(statement, {} if self.style == "named" else (), reads=False)


class AsyncLink(_Worded, ABC):
    """Carries scripts out, awaiting each statement."""

    @abstractmethod
    async def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """One statement: its rows when it ``reads``, else how many rows it changed."""

    async def run(self, script: Script[T]) -> T:
        """A whole script; what it returns."""
        answer: Any = None
        while True:
            try:
                do = script.send(answer)
            except StopIteration as end:
                result: T = end.value
                return result
            answer = await self.execute(*self.words(do), reads=do.reads)

    async def make_tables(self) -> None:
        """The guards' tables, those that are not there yet."""
        for statement in table_statements(self.dialect):
            await self.execute(statement, {} if self.style == "named" else (), reads=False)


# -- the kinds of connection -------------------------------------------------------------------------------------


class DbapiLink(Link):
    """A connection as PEP 249 has it; Django's are such too."""

    def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """By a cursor of its own."""
        cursor = self.connection.cursor()
        try:
            cursor.execute(sql, values)
            return [_row(row) for row in cursor.fetchall()] if reads else cursor.rowcount
        finally:
            cursor.close()


class AsyncDbapiLink(AsyncLink):
    """A connection as PEP 249 would have it for asyncio: psycopg's."""

    async def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """By a cursor of its own."""
        async with self.connection.cursor() as cursor:
            await cursor.execute(sql, values)
            return [_row(row) for row in await cursor.fetchall()] if reads else cursor.rowcount


class AsyncpgLink(AsyncLink):
    """A connection of asyncpg."""

    async def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """The number of rows is the last word of the command's tag, as in ``INSERT 0 1``."""
        if reads:
            return [tuple(row) for row in await self.connection.fetch(sql, *values)]
        count = str(await self.connection.execute(sql, *values)).rpartition(" ")[2]
        return int(count) if count.isdigit() else 0


class SqlalchemyLink(Link):
    """A session or connection of SQLAlchemy."""

    _checked = False

    def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """Under the transaction that the session is in, or begins by this. Raises NotInTransaction."""
        clause = _clause(sql)
        if not self._checked:
            session = hasattr(self.connection, "get_bind")
            _check_begun(self.connection.connection(_bound_by(clause)) if session else self.connection)
            self._checked = True
        return _said(self.connection.execute(clause, values, execution_options=_COUNTED), reads=reads)


class AsyncSqlalchemyLink(AsyncLink):
    """A session or connection of SQLAlchemy, for asyncio."""

    _checked = False

    async def execute(self, sql: str, values: Any, *, reads: bool) -> Any:
        """Under the transaction that the session is in, or begins by this. Raises NotInTransaction."""
        clause = _clause(sql)
        if not self._checked:
            session = hasattr(self.connection, "get_bind")
            connection = await self.connection.connection(_bound_by(clause)) if session else self.connection
            await connection.run_sync(_check_begun)
            self._checked = True
        return _said(await self.connection.execute(clause, values, execution_options=_COUNTED), reads=reads)


def _bound_by(clause: Any) -> dict[str, Any]:
    """What a session that has several databases chooses by."""
    return {"clause": clause}


def _check_begun(connection: Any) -> None:
    """Refuse a connection of SQLAlchemy's that commits each statement by itself: because SQLAlchemy was told so, or
    the driver behind its back. The transaction is begun first, as the statement would do it: an app may have hung its
    own way to begin one on that. No query is made."""
    if connection.get_transaction() is None:
        connection.begin()
    level = connection.get_execution_options().get("isolation_level")
    _check_open((level or getattr(connection.dialect, "_on_connect_isolation_level", None)) != "AUTOCOMMIT")
    raw = connection.connection.driver_connection
    for maker in _makers(raw) & _BELOW.keys():
        _check_open(_BELOW[maker](raw))


_COUNTED: Final = {"preserve_rowcount": True}


@cache
def _clause(sql: str) -> Any:
    from sqlalchemy import text

    return text(sql)


def _said(result: Any, *, reads: bool) -> Any:
    return [tuple(row) for row in result] if reads else result.rowcount


def _row(row: Any) -> Row:
    """A row by position, also of an app whose cursors give rows by name."""
    return tuple(row.values()) if isinstance(row, Mapping) else tuple(row)


# -- finding out which it is -------------------------------------------------------------------------------------


class Driver(NamedTuple):
    """A DB-API driver. ``open``: whether its connection is in a transaction, or will be by the next statement."""

    dialect: Dialect
    style: Style
    open: Callable[[Any], bool]


def _sqlite_open(connection: Any) -> bool:
    autocommit = getattr(connection, "autocommit", -1)  # Python 3.12; -1: as before, by isolation_level
    return bool(connection.in_transaction or (connection.isolation_level is not None and autocommit == -1))


def _psycopg_open(connection: Any) -> bool:
    return not connection.autocommit or int(connection.info.transaction_status) != 0  # 0: idle


def _pymysql_open(connection: Any) -> bool:
    return not connection.get_autocommit() or bool(connection.server_status & 1)  # SERVER_STATUS_IN_TRANS


DRIVERS: Final[Mapping[str, Driver]] = {
    "sqlite3": Driver("sqlite", "qmark", _sqlite_open),
    "psycopg": Driver("postgresql", "format", _psycopg_open),
    "psycopg2": Driver("postgresql", "format", _psycopg_open),
    "pymysql": Driver("mysql", "format", _pymysql_open),
}
# Below SQLAlchemy also aiosqlite, which shows what sqlite3 does.
_BELOW: Final[Mapping[str, Callable[[Any], bool]]] = {
    **{name: driver.open for name, driver in DRIVERS.items()},
    "aiosqlite": _sqlite_open,
}
_DIALECTS: Final[Mapping[str, Dialect]] = {
    "postgresql": "postgresql",
    "sqlite": "sqlite",
    "mysql": "mysql",
    "mariadb": "mysql",
}


def link_of(connection: Any) -> Link:
    """The link to a connection, session, or link. Raises ConnectionUnknown; NotInTransaction when each statement would
    be committed by itself, with SQLAlchemy before the first one, for only then it connects."""
    if isinstance(connection, Link):
        return connection
    makers = _makers(connection)
    if "sqlalchemy" in makers and not _is_async(connection):
        return SqlalchemyLink(connection, _sqlalchemy_dialect(connection), "named")
    if "django" in makers:
        _check_open(connection.in_atomic_block or not connection.get_autocommit())
        return DbapiLink(connection, _dialect(connection.vendor), "format")
    for maker in makers & DRIVERS.keys():
        if not _is_async(connection):
            driver = DRIVERS[maker]
            _check_open(driver.open(connection))
            return DbapiLink(connection, driver.dialect, driver.style)
    raise _unknown(connection, "")


def async_link_of(connection: Any) -> AsyncLink:
    """The same for asyncio."""
    if isinstance(connection, AsyncLink):
        return connection
    makers = _makers(connection)
    if "asyncpg" in makers:
        _check_open(connection.is_in_transaction())
        return AsyncpgLink(connection, "postgresql", "dollar")
    if "sqlalchemy" in makers and _is_async(connection):
        return AsyncSqlalchemyLink(connection, _sqlalchemy_dialect(connection), "named")
    if "psycopg" in makers and _is_async(connection):
        _check_open(_psycopg_open(connection))
        return AsyncDbapiLink(connection, "postgresql", "format")
    raise _unknown(connection, " for asyncio")


def _makers(connection: Any) -> set[str]:
    """The packages that its class and what that inherits from come from."""
    return {cls.__module__.partition(".")[0] for cls in type(connection).__mro__}


def _is_async(connection: Any) -> bool:
    return any(cls.__name__.startswith(("Async", "async_")) for cls in type(connection).__mro__)


def _sqlalchemy_dialect(connection: Any) -> Dialect:
    bound = connection.get_bind() if hasattr(connection, "get_bind") else connection
    return _dialect(bound.dialect.name)


def _dialect(name: str) -> Dialect:
    if name not in _DIALECTS:
        raise ConnectionUnknown(f"the guards speak to {', '.join(_DIALECTS)}, not to {name}")
    return _DIALECTS[name]


def _check_open(is_open: bool) -> None:  # noqa: FBT001 - the one thing it is about
    if not is_open:
        raise NotInTransaction(
            "the connection is in no transaction and commits each statement by itself: begin one, so that what the "
            "guard marks and what you write are kept, or not kept, together"
        )


def _unknown(connection: Any, which: str) -> ConnectionUnknown:
    kind = f"{type(connection).__module__}.{type(connection).__qualname__}"
    return ConnectionUnknown(
        f"no link{which} to a {kind} is known: pass a link of your own (oncepay.client.guards.links)"
    )
