"""Connections to SQLite: how they are made, that they are safe, on which thread they work, what their failures mean.

Which thread: a statement is CPU, a commit is waiting. SQLite's calls let go of Python's lock, and taking it back from a
busy event loop costs a hundred times the statement (measured: 1,150 us a change instead of 29). So short keyed
statements run on the loop itself, and only what waits for a disk or for a lock goes to a thread: COMMIT, checkpoints,
a BEGIN while another process writes, and lists that may read far.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import apsw
import msgspec

from oncepay.domain.errors import CommitUnknown, Invalid, OncepayError, Unavailable
from oncepay.store.refusals import ConfigUnsafe, DatabaseRefused, MigrationRefused, StartRefused

LIBRARY_MIN: Final = (3, 51, 3)  # before it, a WAL that is reset while another connection checkpoints can lose commits
SAFE_SYNCHRONOUS: Final = {"full": 2, "extra": 3}
WRITER_CACHE_KB: Final = 48 * 1024
READER_CACHE_KB: Final = 16 * 1024
SWITCH_AGAIN_MS: Final = 10
PAUSE: Final = time.sleep  # noqa: TID251 - only while a new file is being set up, before anything runs

# The row's own fault: it was refused by a constraint or could not be bound. Everything else is the store's.
ROWS_FAULT: Final = (
    apsw.ConstraintError, apsw.MismatchError, apsw.TooBigError, apsw.RangeError, apsw.BindingsError,
    TypeError, ValueError, OverflowError,
)  # fmt: skip

# At the start: what stands there is not ours, or not for us, and will not be by itself.
FOR_GOOD: Final = (
    apsw.CantOpenError, apsw.ReadOnlyError, apsw.PermissionsError, apsw.AuthError, apsw.NotADBError,
    apsw.CorruptError, apsw.SQLError,
)  # fmt: skip

T = TypeVar("T")


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """From the URL: ``sqlite:///relative.db``, ``sqlite:////absolute.db?synchronous=extra``, ``sqlite://:memory:``."""

    path: str  # "" is a database in memory: one connection, for tests
    synchronous: str = "full"
    busy_timeout_ms: int = 5_000  # how long another process may hold the file
    wal_max_mb: int = 64  # above it, the log is emptied between two groups
    checkpoint_ms: int = 250
    inline: bool = False  # no thread at all: for a simulated loop


def settings_of(url: str) -> Settings:
    """Read a URL. Raises ConfigUnsafe for a setting that may lose commits, Invalid for one that does not exist."""
    parts = urlsplit(url)
    path = unquote(parts.path.removeprefix("/"))
    if parts.netloc not in {"", ":memory:"}:
        raise Invalid(f"a path starts after three slashes: sqlite:///{parts.netloc}{parts.path}", field="url")
    given: dict[str, Any] = dict(parse_qsl(parts.query, keep_blank_values=True))
    memory = parts.netloc == ":memory:" or path in {"", ":memory:"}
    try:
        settings = msgspec.convert(given | {"path": "" if memory else path}, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Invalid(str(error), field="url") from error
    unknown = given.keys() - set(Settings.__struct_fields__)
    if unknown:
        raise Invalid(f"{min(unknown)} is not a setting of SQLite here", field="url")
    if settings.synchronous.lower() not in SAFE_SYNCHRONOUS:
        raise ConfigUnsafe("synchronous", settings.synchronous, "full or extra")
    return settings


def check_library(version: str) -> None:
    """Refuse a SQLite that is known to lose commits. Raises ConfigUnsafe."""
    if tuple(int(part) for part in version.split(".")[:3]) < LIBRARY_MIN:
        raise ConfigUnsafe("sqlite library", version, ".".join(map(str, LIBRARY_MIN)) + " or newer")


def connect(
    settings: Settings, *, writer: bool, make: bool = True, pause: Callable[[float], None] = PAUSE
) -> apsw.Connection:
    """One connection, set and checked. ``make``: a file that is not there. ``pause``: seconds, between two tries.
    Raises StartRefused, Unavailable."""
    check_library(apsw.sqlite_lib_version())
    if make and settings.path:
        _make_file(settings.path)
    flags = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_URI | (apsw.SQLITE_OPEN_CREATE if make else 0)
    try:
        link = apsw.Connection(
            f"file:{quote(settings.path)}" if settings.path else ":memory:",
            flags=flags,
            statementcachesize=200,
        )
        if settings.path:
            _switch_to_wal(link, settings.busy_timeout_ms, pause)
        link.set_busy_timeout(settings.busy_timeout_ms)
        _set(link, settings, writer=writer)
        _check(link, settings)
        if writer:
            link.set_busy_timeout(0)  # it works on the loop: who must wait does so on a thread
    except apsw.Error as error:
        path = Path(settings.path).absolute()
        if isinstance(error, apsw.CantOpenError) and not make and not path.exists():
            raise MigrationRefused(f"there is no database {path}; `oncepay migrate` makes a new one") from error
        raise named(error, settings) from error
    return link


def _make_file(path: str) -> None:
    """A new file is for its owner and, where the umask has it so, its group: who pays for what stands in it. SQLite
    lets everybody read it, and gives its logs the same permissions. Where it cannot be made SQLite says why."""
    with suppress(OSError):
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o660))


def named(error: apsw.Error, settings: Settings) -> OncepayError | StartRefused:
    """At the start, an error says of which file it is, and whether repeating is any use."""
    meant = unavailable(error)
    if not settings.path:
        return meant
    words = f"{Path(settings.path).absolute()}: {meant.detail}"
    return DatabaseRefused(words) if isinstance(error, FOR_GOOD) else Unavailable(words)


def _switch_to_wal(link: apsw.Connection, busy_timeout_ms: int, pause: Callable[[float], None]) -> None:
    """Of two processes that open a new file at once, the second one's switch is refused without the busy timeout
    being asked: whoever wants more of a lock it shares must not wait (measured: 3 of 60 starts). So: ask again."""
    for _ in range(busy_timeout_ms // SWITCH_AGAIN_MS):
        with suppress(apsw.BusyError):
            link.pragma("journal_mode", "wal")
            return
        pause(SWITCH_AGAIN_MS / 1000)
    link.pragma("journal_mode", "wal")


def _set(link: apsw.Connection, settings: Settings, *, writer: bool) -> None:
    link.pragma("synchronous", settings.synchronous)
    link.wal_autocheckpoint(0)  # a checkpoint within a commit stalls it; ours runs beside
    link.pragma("foreign_keys", 1)
    link.pragma("mmap_size", 0)  # a bad sector would be a signal instead of an error
    link.pragma("temp_store", "memory")
    link.pragma("cache_size", -(WRITER_CACHE_KB if writer else READER_CACHE_KB))
    link.pragma("cache_spill", 0)  # a group is written by its COMMIT, not on the loop


def _check(link: apsw.Connection, settings: Settings) -> None:
    """What was set may not have been taken: read it back. Raises ConfigUnsafe."""
    wanted = {"synchronous": SAFE_SYNCHRONOUS[settings.synchronous.lower()], "foreign_keys": 1}
    if settings.path:
        wanted |= {"journal_mode": "wal", "locking_mode": "normal", "mmap_size": 0}  # type: ignore[dict-item]
    for name, value in wanted.items():
        found = link.pragma(name)
        if found != value:
            raise ConfigUnsafe(name, found, str(value))


def unavailable(error: Exception) -> OncepayError:
    """What an error of the database means to whoever asked."""
    if isinstance(error, OncepayError):
        return error
    if isinstance(error, ROWS_FAULT):
        return Invalid(f"the store cannot hold this: {error}")
    if isinstance(error, apsw.FullError):
        return Unavailable("the disk is full")
    if isinstance(error, (apsw.ReadOnlyError, apsw.PermissionsError, apsw.CantOpenError)):
        return Unavailable("the database file cannot be written")
    if isinstance(error, (apsw.BusyError, apsw.LockedError)):
        return Unavailable("another process holds the database file")
    return Unavailable(f"the database failed: {type(error).__name__}: {error}")


class Thread:
    """One thread for what waits; or none, when everything is to happen on the loop."""

    def __init__(self, name: str, *, inline: bool) -> None:
        self._pool = None if inline else ThreadPoolExecutor(1, f"oncepay-{name}")

    async def run(self, work: Callable[[], T]) -> T:
        """Do the work there. A cancelled wait does not hand the connection back before the work is over."""
        if self._pool is None:
            return work()
        job = asyncio.get_running_loop().run_in_executor(self._pool, work)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            while not job.done():
                with suppress(asyncio.CancelledError):
                    await asyncio.wait([job])
            if not job.cancelled():
                job.exception()  # seen
            raise

    def close(self) -> None:
        """Let it end."""
        if self._pool is not None:
            self._pool.shutdown(wait=True)


class Writer:
    """The one connection that writes. Statements run on the loop, one transaction at a time; COMMIT in its thread."""

    def __init__(self, settings: Settings, *, make: bool = True) -> None:
        self.link = connect(settings, writer=True, make=make)
        self.thread = Thread("writer", inline=settings.inline or not settings.path)
        self.execute = self.link.cursor().execute
        self.wrote = False  # something may wait for a checkpoint
        self._busy_timeout_ms = settings.busy_timeout_ms
        self._turn = asyncio.Lock()

    async def transaction(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a transaction of its own: durable when this returns, undone when it raises.

        ``work`` runs on the loop in one go; it must be short. Raises what ``work`` raises (ROWS_FAULT as it is, other
        errors of the database as Unavailable), and CommitUnknown.
        """
        async with self._turn:
            try:
                await self._begin()
                done = work()
            except BaseException as error:
                self._rollback()
                if isinstance(error, apsw.Error) and not isinstance(error, ROWS_FAULT):
                    raise unavailable(error) from error
                raise
            try:
                await self.thread.run(self._commit)
            except BaseException as error:
                self._rollback()
                raise (_lost_commit(error) if isinstance(error, apsw.Error) else error) from error
            self.wrote = True
            return done

    async def alone(self, work: Callable[[], T]) -> T:
        """Run ``work`` in a thread between two transactions."""
        async with self._turn:
            return await self.thread.run(work)

    async def close(self) -> None:
        """After the last transaction."""
        async with self._turn:
            self.link.close()
            self.thread.close()

    async def _begin(self) -> None:
        try:
            self.execute("BEGIN IMMEDIATE")
        except apsw.BusyError:
            await self.thread.run(self._begin_waiting)

    def _begin_waiting(self) -> None:
        """Another process writes: wait for it where waiting hurts nobody."""
        self.link.set_busy_timeout(self._busy_timeout_ms)
        try:
            self.execute("BEGIN IMMEDIATE")
        finally:
            self.link.set_busy_timeout(0)

    def _commit(self) -> None:
        self.execute("COMMIT")

    def _rollback(self) -> None:
        if self.link.in_transaction:  # a full disk may have rolled back already
            with suppress(apsw.Error):
                self.execute("ROLLBACK")


def _lost_commit(error: apsw.Error) -> OncepayError:
    """What a failed COMMIT means. After a failed write or flush of the log its pages may or may not be on the disk: a
    crash right now could bring the transaction back, so nobody may say that it did not happen."""
    if isinstance(error, apsw.IOError):
        return CommitUnknown(f"the commit could not be flushed: {error}")
    return unavailable(error)
