"""``Inbox``: takes news of payments in, each milestone once, in the transaction of the app's own write.

One row an order holds what was done because of its payment. It is inserted, or locked and changed, before the app's
handlers run, in their transaction: so of two deliveries at once the second waits, and then finds it done; a handler
that raises, or a crash before the commit, leaves no mark; and a crash after it, before the answer, leaves one, so that
the repeat does nothing. An app's database is enough for all of that: there is no other lock, and no clock is trusted.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from oncepay.client.around import AROUND, Around
from oncepay.client.guards.aside import Aside, dropping_aside, error_text, hurrying_aside, listing_aside
from oncepay.client.guards.errors import Contended, HandlersMissing, OtherPayment
from oncepay.client.guards.links import async_link_of, link_of
from oncepay.client.guards.milestones import WORDS, Milestone, Word, settled, unmet
from oncepay.client.guards.scripts import TRIES_MAX, Row, Script, Value, change, rows
from oncepay.client.guards.transactions import AsyncBegin, Begin, persist, persist_async
from oncepay.client.shapes import Event, Payment

T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., object])

log: Final = logging.getLogger("oncepay.client")

POISONED_AFTER: Final = 5
POISONED_MAX: Final = 1000  # orders a listing gives
DAY_MS: Final = 86_400_000
# News of a payment may come until its channel takes no refund any more, which is a year after it was paid, and may be
# on their way for 30 days. Forget an order earlier, and they would be lost.
FORGET_DAYS_MIN: Final = 400
FORGOTTEN: Final = "forgotten"  # in the table of feeds: orders that were settled before then are known no more


@dataclass(frozen=True, slots=True, kw_only=True)
class Poisoned:
    """An order whose news have failed again and again. ``payment``: ``pay_...``. ``version``: the newest of its news
    that was taken in, -1 when none was. ``failures``: in a row. ``failed``: the last event, ``evt_...``, or payment.
    ``error``: what went wrong then. ``at_ms``: when."""

    order_no: str
    payment: str
    version: int
    failures: int
    failed: str
    error: str
    at_ms: int


# -- what is done in the database, for threads and asyncio alike ---------------------------------------------------


def taking(payment: Payment, now_ms: int) -> Script[tuple[Milestone, ...]]:
    """Mark a payment's news as taken in; the milestones that are to be run now, in the same transaction."""
    if payment.version == 0:
        return ()  # as the app made it: no news
    shown = unmet(payment, "")
    news: dict[str, Value] = {
        "order_no": payment.order_no,
        "version": payment.version,
        "settled": int(settled(payment)),
        "now_ms": now_ms,
    }
    found: list[Row] = []
    old = now_ms - payment.created_ms > FORGET_DAYS_MIN * DAY_MS
    for _ in range(TRIES_MAX):
        if old and (yield from _forgotten(payment)):
            log.warning("inbox.forgotten order=%s payment=%s", payment.order_no, payment.id)
            return ()
        if (yield from change("tell", **news, payment=payment.id, done=_keys(shown))) == 1:
            return shown
        if found := (yield from rows("known", order_no=payment.order_no)):
            break
        old = True  # it was forgotten this very moment
    else:
        raise Contended(f"what is known of order {payment.order_no} was there and was gone, {TRIES_MAX} times")
    ((known_payment, version, done, failures),) = found
    if known_payment != payment.id:
        raise OtherPayment(f"order {payment.order_no} belongs to {known_payment}, and this is about {payment.id}")
    if payment.version <= version:
        if failures:
            yield from change("forgive", order_no=payment.order_no)
        return ()
    fresh = unmet(payment, done)
    yield from change("tell_more", **news, done=f"{done} {_keys(fresh)}".strip())
    return fresh


def _forgotten(payment: Payment) -> Script[bool]:
    """Whether its order may have been forgotten, so that its milestones were run. If it is known it stays so: its row
    is held, and who forgets waits for us. Held by a write, for drivers of SQLite begin no transaction by reading."""
    yield from change("hold", order_no=payment.order_no)
    if (yield from rows("known", order_no=payment.order_no)):
        return False
    found = yield from rows("forgotten", feed=FORGOTTEN)
    return bool(found) and payment.created_ms < int(found[0][0])


def _keys(found: tuple[Milestone, ...]) -> str:
    return " ".join(milestone.key for milestone in found)


def failing(told: Event | Payment, error: Exception, now_ms: int) -> Script[None]:
    """Count that taking it in failed."""
    payment = _payment(told)
    words = error_text(error)
    yield from change("fail", order_no=payment.order_no, payment=payment.id, failed=told.id, error=words, now_ms=now_ms)


def listing(failures: int) -> Script[list[Poisoned]]:
    """Orders that failed so often, the longest silent first."""
    found = yield from rows("poisoned", failures=failures, limit=POISONED_MAX)
    return [
        Poisoned(
            order_no=order_no, payment=payment, version=version, failures=often, failed=failed, error=error, at_ms=at_ms
        )
        for order_no, payment, version, often, failed, error, at_ms in found
    ]


def forgetting(days: int, now_ms: int) -> Script[int]:
    """Forget orders that were settled so long ago; how many. What is forgotten is noted first, so that nobody finds the
    order gone and not that."""
    if days < FORGET_DAYS_MIN:
        raise ValueError(f"news may come for {FORGET_DAYS_MIN} days, and be lost when forgotten in {days}")
    before_ms = now_ms - days * DAY_MS
    place = f"{max(before_ms, 0):020d}"
    yield from change("place_first", feed=FORGOTTEN, place=place)
    yield from change("forget_up_to", feed=FORGOTTEN, place=place)
    return (yield from change("forget", before_ms=before_ms))


def _payment(told: Event | Payment) -> Payment:
    return told.payment if isinstance(told, Event) else told


# -- whom to call ------------------------------------------------------------------------------------------------


class _Handlers(Generic[H]):
    """What the app does at which milestone."""

    _awaits = False

    def __init__(self) -> None:
        self._run: dict[Word, H | None] = {}

    def on(self, *words: Word) -> Callable[[H], H]:
        """Have a function run at these milestones. It gets what the transaction yields (a connection, a session) and
        the milestone, and must do all its writing in that transaction. What cannot be rolled back (a mail, a call to a
        warehouse) is to be written down there too, and done by a job that reads it.

        ``closed`` may come before ``paid``: late money may be accepted, and a closed payment be reopened."""
        self._check(words)

        def put(run: H) -> H:
            if not self._awaits and inspect.iscoroutinefunction(run):
                raise TypeError(f"{run.__qualname__} would never be awaited here: use AsyncInbox")
            for word in words:
                self._run[word] = run
            return run

        return put

    def ignore(self, *words: Word) -> None:
        """Have nothing run at these milestones."""
        self._check(words)
        for word in words:
            self._run[word] = None

    def check(self) -> None:
        """Raises HandlersMissing when a milestone has neither handler nor ``ignore``. Call it at the start."""
        missing = [word for word in WORDS if word not in self._run]
        if missing:
            raise HandlersMissing(f"say what is to be done at {', '.join(missing)}: inbox.on(...) or inbox.ignore(...)")

    def of(self, milestone: Milestone) -> H | None:
        """What is to run at it."""
        return self._run[milestone.word]

    def _check(self, words: tuple[Word, ...]) -> None:
        for word in words:
            if word not in WORDS:
                raise ValueError(f"milestones are {', '.join(WORDS)}; there is no {word!r}")
            if word in self._run:
                raise ValueError(f"{word} has a handler already")


class Inbox(_Handlers[Callable[[T, Milestone], None]], Generic[T]):
    """Takes news in, for threads. Share it between them.

    ``begin``: opens a transaction of the app's database (``transactions.py``); handlers get what it yields.
    ``poisoned_after``: so many failures in a row make an order ``poisoned``.
    """

    def __init__(self, begin: Begin[T], *, poisoned_after: int = POISONED_AFTER, around: Around = AROUND) -> None:
        super().__init__()
        self.begin = begin
        self._poisoned_after = poisoned_after
        self._around = around

    def take(self, told: Event | Payment) -> tuple[Milestone, ...]:
        """Take an event in, or a payment as the centre shows it, in a transaction of its own; the milestones that were
        run, none when all was done before. Acknowledge when it returns.

        Whatever a handler raises comes out of it, after the roll-back: let the centre hear a 500, and it will tell
        again. When the database ends the transaction because another was in its way, it is run again, handlers too.
        Raises HandlersMissing, OtherPayment.
        """
        try:
            return persist(lambda: self._take(told))
        except Exception as error:
            self.failed(told, error)
            raise

    def _take(self, told: Event | Payment) -> tuple[Milestone, ...]:
        with self.begin() as within:
            return self.take_within(within, told)

    def take_within(self, within: T, told: Event | Payment) -> tuple[Milestone, ...]:
        """The same in a transaction that the app has opened, and commits: acknowledge after that. When it was rolled
        back, call ``failed``, so that an order that fails for ever does not fail silently."""
        self.check()
        found = link_of(within).run(taking(_payment(told), self._around.now_ms()))
        for milestone in found:
            run = self.of(milestone)
            if run is not None:
                run(within, milestone)
        return found

    def failed(self, told: Event | Payment, error: Exception) -> None:
        """Count a failure, after the roll-back. Never raises."""
        log.warning("inbox.failed told=%s error=%s", told.id, type(error).__name__)
        try:
            with self.begin() as within:
                link_of(within).run(failing(told, error, self._around.now_ms()))
        except Exception:
            log.exception("inbox.uncounted told=%s", told.id)

    def poisoned(self) -> list[Poisoned]:
        """Orders whose news fail again and again: for an alarm, or a page of the operators'."""
        with self.begin() as within:
            return link_of(within).run(listing(self._poisoned_after))

    def aside(self) -> list[Aside]:
        """Messages of a broker that could not be taken in and are tried again: for the same page. At most a hundred,
        the oldest first."""
        with self.begin() as within:
            return link_of(within).run(listing_aside())

    def hurry_aside(self) -> int:
        """Have all of them tried at once, after a secret or a handler was mended; how many."""
        with self.begin() as within:
            return link_of(within).run(hurrying_aside(self._around.now_ms()))

    def drop_aside(self, key: str) -> bool:
        """Keep one no longer, which nobody misses; whether it was there. ``key``: ``Aside.key``."""
        with self.begin() as within:
            return link_of(within).run(dropping_aside(key))

    def forget(self, days: int = FORGET_DAYS_MIN) -> int:
        """Forget orders that were settled so many days ago, at least 400; how many. For a job at a quiet hour. News of
        an order that is so old and not known run nothing from then on: it may have been forgotten."""
        return persist(lambda: self._forget(days))

    def _forget(self, days: int) -> int:
        with self.begin() as within:
            return link_of(within).run(forgetting(days, self._around.now_ms()))


class AsyncInbox(_Handlers[Callable[[T, Milestone], Awaitable[None]]], Generic[T]):
    """``Inbox`` for asyncio: handlers are awaited."""

    _awaits = True

    def __init__(self, begin: AsyncBegin[T], *, poisoned_after: int = POISONED_AFTER, around: Around = AROUND) -> None:
        super().__init__()
        self.begin = begin
        self._poisoned_after = poisoned_after
        self._around = around

    async def take(self, told: Event | Payment) -> tuple[Milestone, ...]:
        """As ``Inbox.take``."""
        try:
            return await persist_async(lambda: self._take(told))
        except Exception as error:
            await self.failed(told, error)
            raise

    async def _take(self, told: Event | Payment) -> tuple[Milestone, ...]:
        async with self.begin() as within:
            return await self.take_within(within, told)

    async def take_within(self, within: T, told: Event | Payment) -> tuple[Milestone, ...]:
        """As ``Inbox.take_within``."""
        self.check()
        found = await async_link_of(within).run(taking(_payment(told), self._around.now_ms()))
        for milestone in found:
            run = self.of(milestone)
            if run is not None:
                await run(within, milestone)
        return found

    async def failed(self, told: Event | Payment, error: Exception) -> None:
        """As ``Inbox.failed``."""
        log.warning("inbox.failed told=%s error=%s", told.id, type(error).__name__)
        try:
            async with self.begin() as within:
                await async_link_of(within).run(failing(told, error, self._around.now_ms()))
        except Exception:
            log.exception("inbox.uncounted told=%s", told.id)

    async def poisoned(self) -> list[Poisoned]:
        """As ``Inbox.poisoned``."""
        async with self.begin() as within:
            return await async_link_of(within).run(listing(self._poisoned_after))

    async def aside(self) -> list[Aside]:
        """As ``Inbox.aside``."""
        async with self.begin() as within:
            return await async_link_of(within).run(listing_aside())

    async def hurry_aside(self) -> int:
        """As ``Inbox.hurry_aside``."""
        async with self.begin() as within:
            return await async_link_of(within).run(hurrying_aside(self._around.now_ms()))

    async def drop_aside(self, key: str) -> bool:
        """As ``Inbox.drop_aside``."""
        async with self.begin() as within:
            return await async_link_of(within).run(dropping_aside(key))

    async def forget(self, days: int = FORGET_DAYS_MIN) -> int:
        """As ``Inbox.forget``."""
        return await persist_async(lambda: self._forget(days))

    async def _forget(self, days: int) -> int:
        async with self.begin() as within:
            return await async_link_of(within).run(forgetting(days, self._around.now_ms()))
