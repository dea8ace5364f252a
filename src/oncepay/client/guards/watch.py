"""``Watch``: the app asks by itself, when it was not told in time; and reads what it missed while it was down.

Orders that are being paid stand in a table of the app's own, written in the app's own transaction, so a restart forgets
none. Whatever is learned goes through the inbox: by the same handlers as a webhook, once. Any number of processes may
watch: who moves a row's time on asks, the others do not; if that one dies, the next time in the timetable comes anyway.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Generic, Protocol, TypeVar

from oncepay.client import events, payments
from oncepay.client.around import AROUND, Around
from oncepay.client.calls import Call
from oncepay.client.errors import CallFailed
from oncepay.client.guards.inbox import DAY_MS, FORGET_DAYS_MIN, AsyncInbox, Inbox, log
from oncepay.client.guards.links import async_link_of, link_of
from oncepay.client.guards.scripts import Script, change, rows
from oncepay.client.guards.timetable import Verdict, Watched, is_over, judge, next_ms
from oncepay.client.shapes import Event, EventPage, Payment

T = TypeVar("T")
R = TypeVar("R")

PATIENCE_S: Final = 600.0
ROUND_MAX: Final = 100  # orders that are asked for in one round
AGAIN_MS: Final = 10_000  # when the centre could not be asked
AT_ONCE: Final = 8  # calls that an asyncio round has under way
FEED: Final = "events"


class Makes(Protocol):
    """What is used of a ``Client``."""

    def make(self, call: Call[T], /) -> T: ...


class MakesAsync(Protocol):
    """What is used of an ``AsyncClient``."""

    def make(self, call: Call[T], /) -> Awaitable[T]: ...


# -- what is done in the database, for threads and asyncio alike ---------------------------------------------------


def registering(order_no: str, above: int, now_ms: int) -> Script[None]:
    """Ask for the outcome of an order from now on: for news above this version, and above what the inbox knows."""
    yield from change("watch", order_no=order_no, above=above, now_ms=now_ms, due_ms=next_ms(now_ms, now_ms))


def due(now_ms: int) -> Script[list[Watched]]:
    """Orders to ask for now, without those whose outcome came by another road."""
    yield from change("unwatch_settled", now_ms=now_ms)
    return [Watched(*row) for row in (yield from rows("due", now_ms=now_ms, limit=ROUND_MAX))]


def putting_off(order: Watched, until_ms: int) -> Script[Watched | None]:
    """The order, not due before then: it is ours to ask for it now. None when somebody else does."""
    moved = yield from change("put_off", order_no=order.order_no, due_ms=order.due_ms, next_ms=until_ms)
    return order._replace(due_ms=until_ms) if moved == 1 else None


def dropping(order: Watched) -> Script[bool]:
    """Ask no more, unless it was registered again meanwhile."""
    return (yield from change("unwatch", order_no=order.order_no, since_ms=order.since_ms)) == 1


def dropping_forgotten(order: Watched) -> Script[bool]:
    """Ask no more if the inbox has forgotten the order: it keeps nothing of what is taken in, so it would be asked for
    ever."""
    return (yield from change("unwatch_forgotten", order_no=order.order_no, since_ms=order.since_ms)) == 1


def may_be_forgotten(order: Watched, payment: Payment, now_ms: int, patience_ms: int) -> bool:
    """Whether to look if the inbox has forgotten an order whose payment it took in."""
    is_old = now_ms - payment.created_ms > FORGET_DAYS_MIN * DAY_MS
    return is_old and is_over(order, payment, now_ms, patience_ms)


def reading_place() -> Script[str]:
    """How far the feed was read; empty before its first event."""
    found = yield from rows("place", feed=FEED)
    return str(found[0][0]) if found else ""


def keeping_place(was: str, place: str, failed: Sequence[Event], now_ms: int) -> Script[None]:
    """Go on from here next time; what could not be taken in is asked for by its order."""
    for event in failed:
        yield from registering(event.payment.order_no, 0, now_ms)
    if was:
        yield from change("place_next", feed=FEED, was=was, place=place)
    else:
        yield from change("place_first", feed=FEED, place=place)


class Watch(Generic[T]):
    """Asks for outcomes, for threads.

    ``client``: a ``Client``. ``inbox``: takes in what is learned. ``absent``: run, in a transaction, for an order that
    was registered and of which the centre has not heard after ``patience_s`` seconds: the app died in between, or gave
    up. Nobody can pay it; cancel it, or submit it again. ``patience_s``: longer than your calls may take.
    """

    def __init__(
        self,
        client: Makes,
        inbox: Inbox[T],
        *,
        absent: Callable[[T, str], None],
        patience_s: float = PATIENCE_S,
        around: Around = AROUND,
    ) -> None:
        self._client = client
        self._inbox = inbox
        self._absent = absent
        self._patience_ms = round(patience_s * 1000)
        self._around = around

    def register(self, within: T, order_no: str, *, above: int = 0) -> None:
        """Ask for the outcome of an order from now on, on the timetable. Call it in the transaction after which the
        centre is asked for the payment, or for a refund of it; again is a new start.

        ``above``: the version of the payment that you have seen, if you have: before a refund you have. Its webhook may
        be late, and would be taken for the outcome of what you ask for now. What the inbox knows is thought of.

        It is asked for until the payment is paid or closed and no refund of it is open. What comes after that comes by
        webhook, and if that is lost, by ``pull``."""
        link_of(within).run(registering(order_no, above, self._around.now_ms()))

    def run_once(self) -> int:
        """Ask for each order that is due, at most a hundred; for how many. For a job of cron, every ten seconds or
        every minute. Raises CallFailed when the centre cannot be asked at all."""
        return sum(self._ask(order) for order in self._script(due(self._around.now_ms())))

    def _ask(self, order: Watched) -> bool:
        """Whether it was ours to ask for it."""
        ours = self._script(putting_off(order, next_ms(order.since_ms, self._around.now_ms())))
        if ours is None:
            return False
        try:
            payment = self._client.make(payments.of_order(order.order_no))
        except CallFailed:
            self._script(putting_off(ours, self._around.now_ms() + AGAIN_MS))
            raise
        self._settle(order, payment)
        return True

    def _settle(self, order: Watched, payment: Payment | None) -> None:
        verdict = judge(order, payment, self._around.now_ms(), self._patience_ms)
        if verdict is Verdict.TAKE and payment is not None:
            if self._take(payment) and may_be_forgotten(order, payment, self._around.now_ms(), self._patience_ms):
                self._script(dropping_forgotten(order))
        elif verdict is Verdict.DROP:
            self._script(dropping(order))
        elif verdict is Verdict.ABSENT:
            self._forsake(order)

    def _take(self, told: Event | Payment) -> bool:
        """Whether it went in. What a handler raises is counted and logged, and keeps no other order waiting."""
        try:
            self._inbox.take(told)
        except Exception:
            log.exception("watch.failed told=%s", told.id)
            return False
        return True

    def _forsake(self, order: Watched) -> None:
        try:
            with self._inbox.begin() as within:
                if link_of(within).run(dropping(order)):
                    self._absent(within, order.order_no)
        except Exception:
            log.exception("watch.failed order=%s", order.order_no)

    def pull(self) -> int:
        """Read the feed from where it was read to, to its end; how many events were read. After an outage, or nightly.
        Raises CallFailed."""
        read = 0
        while True:
            was = self._script(reading_place())
            page = self._client.make(events.listed(after=was))
            if not page.data:
                return read
            self._take_page(was, page)
            read += len(page.data)

    def _take_page(self, was: str, page: EventPage) -> None:
        """The events and the place in one transaction; one by one, when one of them cannot be taken in."""
        try:
            with self._inbox.begin() as within:
                for event in page:
                    self._inbox.take_within(within, event)
                link_of(within).run(keeping_place(was, page.next, (), self._around.now_ms()))
        except Exception as error:
            log.warning("watch.page_split after=%s error=%s", was, type(error).__name__)
            failed = [event for event in page if not self._take(event)]
            self._script(keeping_place(was, page.next, failed, self._around.now_ms()))

    def run(self, stop: threading.Event, every_s: float = 2.0) -> None:
        """Rounds, with a pause between them, until the event is set. For a thread of its own."""
        while not stop.is_set():
            try:
                self.run_once()
            except Exception as error:
                log.warning("watch.round_failed error=%s", error)
            stop.wait(every_s)

    def _script(self, script: Script[R]) -> R:
        with self._inbox.begin() as within:
            return link_of(within).run(script)


class AsyncWatch(Generic[T]):
    """``Watch`` for asyncio."""

    def __init__(
        self,
        client: MakesAsync,
        inbox: AsyncInbox[T],
        *,
        absent: Callable[[T, str], Awaitable[None]],
        patience_s: float = PATIENCE_S,
        around: Around = AROUND,
    ) -> None:
        self._client = client
        self._inbox = inbox
        self._absent = absent
        self._patience_ms = round(patience_s * 1000)
        self._around = around

    async def register(self, within: T, order_no: str, *, above: int = 0) -> None:
        """As ``Watch.register``."""
        await async_link_of(within).run(registering(order_no, above, self._around.now_ms()))

    async def run_once(self) -> int:
        """As ``Watch.run_once``, with a few calls under way at once."""
        asked = 0
        orders = await self._script(due(self._around.now_ms()))
        for start in range(0, len(orders), AT_ONCE):
            calls = map(self._ask, orders[start : start + AT_ONCE])
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(outcome, BaseException):
                    raise outcome
                asked += outcome
        return asked

    async def _ask(self, order: Watched) -> bool:
        ours = await self._script(putting_off(order, next_ms(order.since_ms, self._around.now_ms())))
        if ours is None:
            return False
        try:
            payment = await self._client.make(payments.of_order(order.order_no))
        except CallFailed:
            await self._script(putting_off(ours, self._around.now_ms() + AGAIN_MS))
            raise
        await self._settle(order, payment)
        return True

    async def _settle(self, order: Watched, payment: Payment | None) -> None:
        verdict = judge(order, payment, self._around.now_ms(), self._patience_ms)
        if verdict is Verdict.TAKE and payment is not None:
            if await self._take(payment) and may_be_forgotten(order, payment, self._around.now_ms(), self._patience_ms):
                await self._script(dropping_forgotten(order))
        elif verdict is Verdict.DROP:
            await self._script(dropping(order))
        elif verdict is Verdict.ABSENT:
            await self._forsake(order)

    async def _take(self, told: Event | Payment) -> bool:
        try:
            await self._inbox.take(told)
        except Exception:
            log.exception("watch.failed told=%s", told.id)
            return False
        return True

    async def _forsake(self, order: Watched) -> None:
        try:
            async with self._inbox.begin() as within:
                if await async_link_of(within).run(dropping(order)):
                    await self._absent(within, order.order_no)
        except Exception:
            log.exception("watch.failed order=%s", order.order_no)

    async def pull(self) -> int:
        """As ``Watch.pull``."""
        read = 0
        while True:
            was = await self._script(reading_place())
            page = await self._client.make(events.listed(after=was))
            if not page.data:
                return read
            await self._take_page(was, page)
            read += len(page.data)

    async def _take_page(self, was: str, page: EventPage) -> None:
        try:
            async with self._inbox.begin() as within:
                for event in page:
                    await self._inbox.take_within(within, event)
                await async_link_of(within).run(keeping_place(was, page.next, (), self._around.now_ms()))
        except Exception as error:
            log.warning("watch.page_split after=%s error=%s", was, type(error).__name__)
            failed = [event for event in page if not await self._take(event)]
            await self._script(keeping_place(was, page.next, failed, self._around.now_ms()))

    async def run(self, every_s: float = 2.0) -> None:
        """Rounds, with a pause between them, until cancelled. For a task of its own."""
        while True:
            try:
                await self.run_once()
            except Exception as error:
                log.warning("watch.round_failed error=%s", error)
            await self._around.sleep_async(every_s)

    async def _script(self, script: Script[R]) -> R:
        async with self._inbox.begin() as within:
            return await async_link_of(within).run(script)
