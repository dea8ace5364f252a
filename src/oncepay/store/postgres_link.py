"""Connections to PostgreSQL: how they are made, how many, and what their failures mean.

Every connection is made the same way: limits that no session may exceed, plans that stay on the keys, and a look at
whether the server is safe to write to. A connection that failed is thrown away; the next call makes a new one. So a
server that went away and came back needs no special road: while it is away, connecting fails fast.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

import asyncpg

from oncepay.domain.errors import CommitUnknown, Invalid, Unavailable
from oncepay.store.statements import numbered

CONNECT_S: Final = 2.0  # a server on our network that takes longer is away
READ_S: Final = 6.0  # above statement_timeout: the server's own answer comes first
LEAVE_S: Final = 2.0
REPEATS_MAX: Final = 3

# What no session of ours may exceed, so that one that was stopped or cut off lets go of its locks by itself; and a
# frozen way to run: every statement is keyed, so plans never depend on the statistics of a table that was empty when
# they were made. With sequential scans and joins of whole tables off, a fresh database is as fast as an old one.
SESSION: Final[Mapping[str, str]] = {
    "application_name": "oncepay",
    "client_encoding": "UTF8",
    "lock_timeout": "1s",
    "idle_in_transaction_session_timeout": "2s",
    "statement_timeout": "5s",
    "tcp_keepalives_idle": "5",
    "tcp_keepalives_interval": "2",
    "tcp_keepalives_count": "3",
    "plan_cache_mode": "force_generic_plan",
    "jit": "off",
    "enable_seqscan": "off",
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
    "default_transaction_isolation": "read committed",
}

# The other end of the same wire: an unanswered COMMIT has no time-out of ours, but a peer that is gone is noticed.
SOCKET: Final = (
    (socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1),
    (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
    *(
        (socket.IPPROTO_TCP, getattr(socket, name), value)
        for name, value in (
            ("TCP_KEEPIDLE", 5),
            ("TCP_KEEPINTVL", 2),
            ("TCP_KEEPCNT", 3),
            ("TCP_USER_TIMEOUT", 10_000),
        )
        if hasattr(socket, name)
    ),
)


if TYPE_CHECKING:
    _Connection = asyncpg.Connection[asyncpg.Record]
else:
    _Connection = asyncpg.Connection  # generic in its stubs only


class Link(_Connection):
    """One connection."""

    __slots__ = ()

    def keep_alive(self) -> None:
        """Let the kernel notice a peer that vanished."""
        wire = self._transport.get_extra_info("socket")  # type: ignore[attr-defined]  # in the slots, not in the stubs
        if wire is not None and wire.family in {socket.AF_INET, socket.AF_INET6}:
            for level, option, value in SOCKET:
                wire.setsockopt(level, option, value)

    async def leave(self) -> None:
        """Say goodbye, but not for long."""
        try:
            await self.close(timeout=LEAVE_S)
        except (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError):
            self.terminate()


Check = Callable[[Link], Awaitable[None]]

# What the driver raises when the wire breaks; a time-out of connecting or reading is one of them (OSError).
LOST: Final = (OSError, TimeoutError, asyncpg.PostgresConnectionError, asyncpg.InternalClientError)


class Failure(Enum):
    """What an error of a group says about the group."""

    REPEAT = auto()  # rolled back because of others: deadlock, serialization, a lock not given in time
    BAD_ROW = auto()  # rolled back because of one of its rows
    REFUSED = auto()  # rolled back because the server cannot write now: disk full, read-only, stopping
    BROKEN = auto()  # rolled back because a statement is wrong: ours to mend
    UNKNOWN = auto()  # the answer is missing


def failure_of(error: BaseException) -> Failure:
    """Which it is. Only an error that the server reported while it lived on proves a rollback."""
    if isinstance(error, asyncpg.PostgresError):
        state, severity = error.sqlstate, error.severity_en or error.severity
        if isinstance(error, asyncpg.DataError) and severity is None:
            return Failure.BAD_ROW  # the driver's own: it could not write the value down, and sent nothing
        if severity != "ERROR" or state.startswith("08"):
            return Failure.UNKNOWN
        if state in {"40P01", "40001", "55P03"}:
            return Failure.REPEAT
        if state[:2] in {"22", "23", "54"}:  # 54: longer than an index or a statement can hold
            return Failure.BAD_ROW
        return Failure.REFUSED if state[:2] in {"25", "53", "57", "58"} else Failure.BROKEN
    return Failure.BAD_ROW if isinstance(error, UnicodeError) else Failure.UNKNOWN


async def connect(url: str, check: Check) -> Link:
    """A connection that is ready and safe to write to. Raises Unavailable, or what ``check`` raises."""
    try:
        link = await asyncpg.connect(url, timeout=CONNECT_S, connection_class=Link, server_settings=dict(SESSION))
    except (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise Unavailable(f"the database{_at(url)} cannot be reached: {words_of(error)}") from error
    except ValueError:  # it may quote a part of the password
        raise Invalid(
            "the database's URL has no port where one should be; in a password / is written as %2F, ? as %3F, # as %23",
            field="url",
        ) from None
    assert isinstance(link, Link)
    try:
        link.keep_alive()
        async with asyncio.timeout(READ_S):
            await check(link)
    except BaseException as error:
        link.terminate()
        if isinstance(error, (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError)):
            raise Unavailable(f"the database does not answer: {words_of(error)}") from error
        raise
    return link


def _at(url: str) -> str:
    """Which server a URL names, if any; never who logs in, nor what may be the half of a password."""
    netloc = urlsplit(url).netloc
    hosts = netloc.rpartition("@")[2]
    return f" at {hosts}" if hosts and url.count("@") == netloc.count("@") else ""


class Links:
    """A few connections, made when needed, lent one at a time; after ``wait_s`` of waiting for one: Unavailable."""

    def __init__(self, make: Callable[[], Awaitable[Link]], size: int, wait_s: float) -> None:
        self._make: Final = make
        self._wait_s: Final = wait_s
        self._free: Final = asyncio.Semaphore(size)
        self._idle: Final[list[Link]] = []
        self._closed = False

    @contextlib.asynccontextmanager
    async def lend(self) -> AsyncIterator[Link]:
        """A connection for one use. It is kept only if the use ended well or with an error of the server."""
        try:
            async with asyncio.timeout(self._wait_s):
                await self._free.acquire()
        except TimeoutError:
            raise Unavailable("all connections to the database are in use") from None
        try:
            link = await self._take()
            try:
                yield link
            except asyncpg.PostgresError as error:
                self._give_back(link, sound=failure_of(error) not in {Failure.UNKNOWN, Failure.REFUSED})
                raise
            except BaseException:  # cancelled or cut off in the middle: its state is anyone's guess
                link.terminate()
                raise
            self._give_back(link, sound=True)
        finally:
            self._free.release()

    async def close(self) -> None:
        """Let go of all that are idle; those in use are closed as they come back."""
        self._closed = True
        while self._idle:
            await self._idle.pop().leave()

    async def _take(self) -> Link:
        if self._closed:
            raise Unavailable("the store is closed")
        while self._idle:
            link = self._idle.pop()
            if not link.is_closed():
                return link
        return await self._make()

    def _give_back(self, link: Link, *, sound: bool) -> None:
        if sound and not self._closed and not link.is_closed() and not link.is_in_transaction():
            self._idle.append(link)
        else:
            link.terminate()


class Book:
    """The statements by name, ready for a driver that numbers its parameters."""

    def __init__(self, texts: Mapping[str, str]) -> None:
        self._statements: Final = {name: numbered(text) for name, text in texts.items()}

    def call(self, name: str, /, **values: Any) -> tuple[Any, ...]:
        """The text of a statement and its arguments in order."""
        text, names = self._statements[name]
        return (text, *(values[each] for each in names))


class Calls:
    """Statements of one round trip each, on a few connections of their own. Raises Unavailable."""

    def __init__(self, links: Links, book: Book) -> None:
        self._links: Final = links
        self._book: Final = book

    async def read(self, name: str, /, **values: Any) -> list[asyncpg.Record]:
        """The rows. A connection that had died unnoticed is replaced once: to read twice does no harm."""
        try:
            with contextlib.suppress(CommitUnknown):
                return await self._fetch(name, values)
            return await self._fetch(name, values)
        except CommitUnknown as error:  # nothing was to be stored
            raise Unavailable(error.detail) from error

    async def write(self, name: str, /, **values: Any) -> list[asyncpg.Record]:
        """The rows it returns. Raises CommitUnknown when it may or may not have been done; it is not repeated then."""
        for _ in range(REPEATS_MAX):
            with contextlib.suppress(_Again):
                return await self._fetch(name, values)
        raise Unavailable("others hold what was to be changed")

    async def _fetch(self, name: str, values: dict[str, Any]) -> list[asyncpg.Record]:
        try:
            async with self._links.lend() as link:
                return await link.fetch(*self._book.call(name, **values), timeout=READ_S)
        except (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError, UnicodeError) as error:
            match failure_of(error):
                case Failure.REPEAT:
                    raise _Again(f"others hold what was asked for: {error}") from error
                case Failure.UNKNOWN:
                    raise CommitUnknown(f"the database has not answered: {words_of(error)}") from error
                case Failure.REFUSED:
                    raise Unavailable(f"the database refuses: {words_of(error)}") from error
                case Failure.BAD_ROW:
                    raise Invalid(f"a value cannot be stored: {words_of(error)}") from error
            raise


class _Again(Unavailable):
    """Rolled back because of others: it may be tried again."""


def words_of(error: BaseException) -> str:
    """What to say of a driver's error."""
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
