"""The disk of a world: every process has connections of its own to it, as two real ones have.

Forty-nine worlds in fifty have SQLite's own file in memory, which costs no system calls, and connections that come back
when their process dies or their world ends: to open one, and to prepare its statements, takes longer than to run them.
Nothing of ours can tell the difference. The loop is one, so no transaction is half done when another begins; a process
dies between two of them; and a connection knows nothing that it has not read again.

The fiftieth has a file with its log, opened and checked as in production, and a test holds that it is the same world.
What a file must stand when a machine dies is looked at by the tests that kill real processes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, Final, NamedTuple

import apsw

from oncepay.store import sqlite_link
from oncepay.store.sqlite_link import Settings
from oncepay.testing.sim.ground import SQL, folder
from oncepay.testing.sim.patching import instead, places_of

FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_URI
IN_MEMORY: Final = "file:/oncepay-{name}?vfs=memdb"  # every connection of this process that names it sees the same
WITH_LOG: Final = slice(18, 20)  # in a file's header: 2 and 2 say that it has a log, 1 and 1 that it has none


class Disk(NamedTuple):
    """``url``: for the store. ``look``: a connection of the world's own."""

    url: str
    look: apsw.Connection


@contextmanager
def disk(database: bytes, written: Callable[[], None], *, real: bool) -> Iterator[Disk]:
    """While it lasts, the store opens this. ``database``: the bytes it begins with, the same for all worlds of a
    process. ``written``: is called at every commit. ``real``: a file."""
    with ExitStack() as stack:
        if real:
            path = Path(stack.enter_context(TemporaryDirectory(prefix="oncepay-sim-", dir=folder()))) / "world.db"
            path.write_bytes(database)
            look = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
            stack.callback(look.close)
            opened: Callable[..., apsw.Connection] = sqlite_link.connect
        else:
            memory = _memory(database)
            memory.begin()
            path, look, opened = Path("memory"), memory.look, memory.connect

        def told() -> bool:
            written()
            return False  # do not roll back

        def connect(settings: Settings, *, writer: bool, **given: Any) -> apsw.Connection:
            link = opened(settings, writer=writer, **given)
            if writer:
                link.set_commit_hook(told)
            return link

        stack.enter_context(instead(sqlite_link.connect, connect, _places()))
        yield Disk(f"sqlite:///{path}?inline=true&busy_timeout_ms=0", look)


@cache
def _places() -> list[tuple[ModuleType, str]]:
    return places_of(sqlite_link.connect)


class _Memory:
    """A database that is there as long as the process. ``ground``: what it begins with."""

    def __init__(self, ground: bytes) -> None:
        plain = bytearray(ground)
        plain[WITH_LOG] = b"\1\1"
        template = apsw.Connection(":memory:")
        template.deserialize("main", bytes(plain))
        self.look = _open("world")
        for link in (self.look, _open("ground")):
            with link.backup("main", template, "main") as copy:
                copy.step()
        self.look.execute(SQL["attach_ground"], (IN_MEMORY.format(name="ground"),))
        self._tables = [name for (name,) in template.execute(SQL["tables"])]
        self._idle: dict[bool, list[_Link]] = {True: [], False: []}  # by whether they write

    def begin(self) -> None:
        """As it was at the beginning. Row by row: to copy the file would have every statement prepared again."""
        with self.look:
            for name in self._tables:
                self.look.execute(SQL["empty"].format(table=name))
                self.look.execute(SQL["fill"].format(table=name))

    def connect(self, _: Settings, *, writer: bool, make: bool = True) -> apsw.Connection:  # noqa: ARG002 - the store's
        """As the store's own ``connect``, with what still means something in memory."""
        idle = self._idle[writer]
        if idle:
            return idle.pop()
        link = _open("world", idle)
        link.pragma("foreign_keys", 1)
        return link


@cache
def _memory(ground: bytes) -> _Memory:
    return _Memory(ground)


class _Link(apsw.Connection):
    """One that is not closed but idle."""

    idle: list[_Link] | None = None

    def close(self, force: bool = False) -> None:  # noqa: FBT001, FBT002, ARG002 - apsw's own manner
        """A process that is killed lets go of it, and may do so again when its world ends."""
        if self.idle is not None and self not in self.idle:
            if self.in_transaction:
                self.execute("ROLLBACK")
            self.idle.append(self)


def _open(name: str, idle: list[_Link] | None = None) -> _Link:
    link = _Link(IN_MEMORY.format(name=name), flags=FLAGS, statementcachesize=200)
    link.idle = idle
    return link
