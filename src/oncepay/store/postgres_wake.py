"""Wake-ups between processes that share a PostgreSQL, by LISTEN and NOTIFY, on one connection of their own.

Never inside a shared commit: a transaction that notifies holds a lock of the whole database until its commit is
flushed, so all that do stand in one queue. See ``docs/decisions/0014``.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

import asyncpg

from oncepay.domain.errors import Unavailable
from oncepay.store.postgres_link import LOST, Book, Link, connect, words_of
from oncepay.store.statements import load

log = logging.getLogger("oncepay.store")

CHANNEL: Final = "oncepay"
TELL_S: Final = 2.0
AGAIN_S: Final = 0.1  # before the first try to connect again; then longer
AGAIN_MAX_S: Final = 5.0
BROKEN: Final = (*LOST, asyncpg.PostgresError, asyncpg.InterfaceError, Unavailable)


class PostgresWake:
    """The Wake on PostgreSQL. Needs sessions: a pooler that lends connections for one transaction hears nothing."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._book = Book(load("postgres/wake.sql"))
        self._link: Link | None = None
        self._turn = asyncio.Lock()  # one statement at a time
        self._rest_until = float("-inf")  # a server that is away is not asked with each word

    async def tell(self, words: Sequence[str]) -> None:
        """As ``Wake.tell``."""
        loop = asyncio.get_running_loop()
        if loop.time() < self._rest_until:
            return
        try:
            async with self._turn:
                link = await self._linked()
                await link.execute(*self._book.call("tell", channel=CHANNEL, words=" ".join(words)), timeout=TELL_S)
        except BROKEN as error:
            self._rest_until = loop.time() + AGAIN_S
            log.info("wake.untold why=%s", words_of(error))
            self._drop()

    async def listen(self, hear: Callable[[str], None], caught_up: Callable[[], None]) -> None:
        """As ``Wake.listen``."""
        again_s = AGAIN_S
        while True:
            try:
                lost = await self._subscribed(hear)
            except BROKEN as error:
                log.warning("wake.deaf why=%s", words_of(error))
            else:
                log.info("wake.listening")
                again_s = AGAIN_S
                self._rest_until = float("-inf")
                caught_up()
                await lost.wait()
                log.info("wake.cut")
            await asyncio.sleep(again_s)
            again_s = min(2 * again_s, AGAIN_MAX_S)

    async def close(self) -> None:
        """As ``Wake.close``."""
        link, self._link = self._link, None
        if link is not None:
            await link.leave()

    async def _subscribed(self, hear: Callable[[str], None]) -> asyncio.Event:
        """Listen on the connection; the event of its end."""
        lost = asyncio.Event()

        def heard(link: Any, pid: int, _channel: str, words: object) -> None:
            if pid != link.get_server_pid():  # our own come back too
                for word in str(words).split():
                    hear(word)

        async with self._turn:
            link = await self._linked()
            link.add_termination_listener(lambda _: lost.set())
            try:
                await link.add_listener(CHANNEL, heard)
            except BaseException:
                self._drop()
                raise
        return lost

    async def _linked(self) -> Link:
        if self._link is None or self._link.is_closed():
            self._link = await connect(self._url, self._prepared)
        return self._link

    async def _prepared(self, link: Link) -> None:
        await link.execute(*self._book.call("session_of_wake"))

    def _drop(self) -> None:
        """Its state is anyone's guess. Whoever listens on it is told so, and makes another."""
        if self._link is not None:
            self._link.terminate()
            self._link = None
