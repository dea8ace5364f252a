"""From a broker to a desk, for as long as it takes: connects, takes, has it written down, acknowledges, and begins anew
when something fails. Nothing is acknowledged before the desk has said that it is in the app's database.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from contextlib import suppress
from itertools import count
from typing import Final, Protocol

from oncepay.client.around import Around
from oncepay.client.guards.inbox import log
from oncepay.client.queues.places import Got, Place, Source, Transport

PAUSE_S: Final = 0.5  # after a first failure
PAUSE_MAX_S: Final = 30.0
AGAIN_S: Final = 1.0  # how often it is looked for what is to be tried again


class Desk(Protocol):
    """Where messages are written down."""

    def hear(self, got: list[Got], /) -> Awaitable[list[Got]]:
        """All is in the database when it returns, taken in or put aside, but for what it gives back: that was refused.
        Raises when the database does not take it."""

    def again(self) -> Awaitable[None]:
        """Try what was put aside and is due."""


class Road:
    """The road of one consumer. ``close`` may be called from anywhere, a signal's handler too."""

    def __init__(self, transport: Transport, place: Place, around: Around) -> None:
        self._transport = transport
        self._place = place
        self._around = around
        self._closing = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = asyncio.Event()
        self._again_s = around.clock()
        self._failures = 0  # of the broker, in a row

    def close(self) -> None:
        """Take no more; ``run`` returns when what was taken is done with."""
        self._closing = True
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._closed.set)

    async def run(self, desk: Desk) -> None:
        """Until closed."""
        self._loop = asyncio.get_running_loop()
        while not self._closing:
            try:
                async with self._transport.open() as source:
                    log.info("consumer.joined place=%s", self._place)
                    await self._serve(source, desk)
            except Exception as error:
                log.warning("consumer.lost place=%s error=%s: %s", self._place, type(error).__name__, error)
                await self._try_again(desk)
                await self._pause(self._failures)
                self._failures += 1

    async def _serve(self, source: Source, desk: Desk) -> None:
        while not self._closing:
            got = await source.take()
            self._failures = 0
            if got and not await self._heard(source, got, desk):
                return
            await self._try_again(desk)

    async def _heard(self, source: Source, got: list[Got], desk: Desk) -> bool:
        """Whether these were written down; they are tried until they are, or until closed: then they come again."""
        for failures in count():
            try:
                refused = await desk.hear(got)
            except Exception as error:
                log.warning("consumer.held place=%s error=%s: %s", self._place, type(error).__name__, error)
                await self._pause(failures)
                if self._closing:
                    return False
            else:
                await self._acknowledge(source, got, refused)
                return True
        raise AssertionError("counting has no end")

    @staticmethod
    async def _acknowledge(source: Source, got: list[Got], refused: list[Got]) -> None:
        if refused:
            await source.reject(refused)
        if len(refused) < len(got):
            await source.done([one for one in got if one not in refused])

    async def _try_again(self, desk: Desk) -> None:
        """It has nothing to do with the broker, and goes on without it."""
        if self._around.clock() < self._again_s:
            return
        self._again_s = self._around.clock() + AGAIN_S
        try:
            await desk.again()
        except Exception as error:
            log.warning("consumer.held place=%s error=%s: %s", self._place, type(error).__name__, error)

    async def _pause(self, failures: int) -> None:
        """Half of it is left to the dice, so that many consumers do not come back at once; ``close`` ends it."""
        pause_s = min(PAUSE_S * 2 ** min(failures, 10), PAUSE_MAX_S) * (0.5 + self._around.draw() / 2)
        waits = [asyncio.ensure_future(self._around.sleep_async(pause_s)), asyncio.ensure_future(self._closed.wait())]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in waits:
                one.cancel()
