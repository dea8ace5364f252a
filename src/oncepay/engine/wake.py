"""Waking: loops of this process and of others are told when there is something to do, instead of finding it at their
next look. A wake-up only saves latency: every loop looks by itself, and whatever is told may be lost.

Words are gathered and sent at most every 20 ms, after the commit they speak of and apart from it: nobody who pays
waits for them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from oncepay.ports import Wake

PAYMENTS: Final = "payments"  # some are due now
DELIVERIES: Final = "deliveries"  # some are due now
DIRECTORY: Final = "directory"  # an app, an account or an endpoint has changed
NEWS: Final = "@"  # before a payment's id: it has a new version

GAP_S: Final = 0.020
NEWS_MAX: Final = 128  # in one message; who waits for news of more looks within a second anyway


class Bell:
    """Rung by anybody, heard by one loop. A ring while the loop is busy is kept until it listens again."""

    def __init__(self) -> None:
        self._rung = False
        self._listener: asyncio.Future[None] | None = None

    @property
    def awaited(self) -> bool:
        """Whether its loop waits now, so that a ring starts it at once."""
        return self._listener is not None

    def ring(self) -> None:
        """There is something to do."""
        self._rung = True
        if self._listener is not None:
            settle(self._listener)

    async def wait(self, sleeping: Coroutine[Any, Any, None]) -> None:
        """Until it is rung, or the sleep is over."""
        if self._rung:
            sleeping.close()
        else:
            self._listener = asyncio.get_running_loop().create_future()
            try:
                await until(self._listener, sleeping)
            finally:
                self._listener = None
        self._rung = False


async def until(happened: asyncio.Future[None], sleeping: Coroutine[Any, Any, None]) -> None:
    """Wait until something happened, or a sleep is over."""
    sleep = asyncio.ensure_future(sleeping)
    sleep.add_done_callback(lambda _: settle(happened))
    try:
        await happened
    finally:
        sleep.cancel()


def settle(happened: asyncio.Future[None]) -> None:
    """It happened, if nobody said so before, and somebody still waits for it."""
    if not happened.done():
        happened.set_result(None)


class Waking:
    """The bells of this process, and the way to those of others, if there is one. ``has_news`` is told the id of each
    payment that another process changed."""

    def __init__(self, wake: Wake | None, has_news: Callable[[str], None]) -> None:
        self._wake = wake
        self._has_news = has_news
        self._bells: dict[str, Bell] = {}
        self._due: set[str] = set()  # payments that a commit left due at once
        self._due_before: set[str] = set()  # those of the last 20 ms that still are
        self._due_timer: asyncio.TimerHandle | None = None
        self._words: dict[str, None] = {}  # to be told, in order
        self._news: dict[str, None] = {}
        self._telling: asyncio.Task[None] | None = None

    def bell(self, word: str) -> Bell:
        """The bell of a loop of this process: from now on there is somebody here who hears it."""
        return self._bells.setdefault(word, Bell())

    def ring(self, word: str) -> None:
        """There is something to do: here if somebody is free here, else wherever somebody is."""
        bell = self._bells.get(word)
        if bell is not None:
            bell.ring()
        if bell is None or not bell.awaited:
            self.tell(word)

    def left(self, payment_id: str, *, due: bool, news: bool) -> None:
        """A commit left a payment so. ``due``: its next step is due at once. Mostly the one who committed does that
        step next, which says ``left`` again; what is still due a moment later is somebody else's to do."""
        if due:
            self._due.add(payment_id)
            self._look_again()
        elif self._due_timer is not None:
            self._due.discard(payment_id)
            self._due_before.discard(payment_id)
        if news and self._wake is not None and len(self._news) < NEWS_MAX:
            self._news[payment_id] = None
            self._start()

    def _look_again(self) -> None:
        if self._due_timer is None:
            self._due_timer = asyncio.get_running_loop().call_later(GAP_S, self._still_due)

    def _still_due(self) -> None:
        self._due_timer = None
        if self._due_before:
            self.ring(PAYMENTS)
        self._due_before, self._due = self._due, set()
        if self._due_before:
            self._look_again()

    # -- to others ---------------------------------------------------------------------------------------------------

    def tell(self, word: str) -> None:
        """All other processes must hear it."""
        if self._wake is not None:
            self._words[word] = None
            self._start()

    def _start(self) -> None:
        if self._telling is None:
            self._telling = asyncio.get_running_loop().create_task(self._tell_all(), name="oncepay-wake")

    async def _tell_all(self) -> None:
        assert self._wake is not None
        try:
            while self._words or self._news:
                words = [*self._words, *(NEWS + id_ for id_ in self._news)]
                self._words, self._news = {}, {}
                await self._wake.tell(words)
                await asyncio.sleep(GAP_S)
        finally:
            self._telling = None  # no await since nothing was seen to wait: nothing can have come in between

    # -- from others -------------------------------------------------------------------------------------------------

    async def listen(self) -> None:
        """Hear what other processes tell, for ever."""
        if self._wake is not None:
            await self._wake.listen(self._hear, self._hear_all)

    def _hear(self, word: str) -> None:
        if word.startswith(NEWS):
            self._has_news(word.removeprefix(NEWS))
        elif word in self._bells:
            self._bells[word].ring()

    def _hear_all(self) -> None:
        for bell in self._bells.values():
            bell.ring()

    async def close(self) -> None:
        """Tell what waits to be told, and let go."""
        if self._due_timer is not None:
            self._due_timer.cancel()
            self.ring(PAYMENTS)
        if self._telling is not None:
            await self._telling
        if self._wake is not None:
            await self._wake.close()
