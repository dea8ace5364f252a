"""What every part of the SQLite ledger stands on: its connections, its statements, how it reads and how it writes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeVar

import apsw

from oncepay.store.rows import Row
from oncepay.store.sqlite_link import ROWS_FAULT, Settings, Thread, Writer, connect, unavailable

T = TypeVar("T")

LIST_MAX: Final = 1000  # rows a list gives at once, whoever asks


class Base:
    """One connection that writes; one that reads by key, on the loop; one for lists, in a thread. A reader is never
    behind a commit: each statement sees what was committed when it began. In memory all three are one."""

    def __init__(self, settings: Settings, writer: Writer, sql: Mapping[str, str]) -> None:
        self._sql = sql
        self._writer = writer
        self._near = connect(settings, writer=False) if settings.path else writer.link
        self._far = connect(settings, writer=False) if settings.path else writer.link
        if settings.path:
            self._near.pragma("query_only", 1)
            self._far.pragma("query_only", 1)
        self._find = self._near.cursor().execute
        self._lists = Thread("lists", inline=settings.inline or not settings.path)

    def _read(self, name: str, bindings: Any = ()) -> list[Row]:
        """Rows by key: microseconds."""
        try:
            return list(self._find(self._sql[name], bindings))
        except (apsw.Error, *ROWS_FAULT) as error:
            raise unavailable(error) from error

    async def _list(self, name: str, **bindings: Any) -> list[Row]:
        """Rows of a list, which may read far."""
        try:
            return await self._lists.run(lambda: list(self._far.execute(self._sql[name], bindings)))
        except (apsw.Error, *ROWS_FAULT) as error:
            raise unavailable(error) from error

    async def _write(self, work: Callable[[], T]) -> T:
        """Statements in a transaction of their own; durable when this returns."""
        try:
            return await self._writer.transaction(work)
        except ROWS_FAULT as error:
            raise unavailable(error) from error

    def _run(self, name: str, bindings: Any = ()) -> int:
        """A writing statement, within a transaction; how many rows it changed."""
        self._writer.execute(self._sql[name], bindings)
        return self._writer.link.changes()

    def _pick(self, name: str, bindings: Any = ()) -> list[Row]:
        """Rows as they are within a transaction."""
        return list(self._writer.execute(self._sql[name], bindings))
