"""A small shop behind the guards, on any kind of database: the same to a test whether it runs in threads or in a loop.

Its handlers write each milestone down as a deed; what it did is what stands there.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from oncepay.client import AsyncClient, Client, Event, Payment
from oncepay.client.around import Around
from oncepay.client.calls import Call
from oncepay.client.errors import NotSent
from oncepay.client.guards import (
    AsyncInbox,
    AsyncSubmissionGuard,
    AsyncWatch,
    Inbox,
    Milestone,
    Poisoned,
    Submission,
    SubmissionGuard,
    Watch,
)
from oncepay.client.guards.milestones import WORDS
from oncepay.client.shapes import EventPage, Page, PaymentSeen
from tests.client.guards.books import ASYNC_KINDS, KINDS, AsyncBooks, Books, Where, open_async_books, open_books
from tests.client.guards.payments import NOW_MS

ALL_KINDS: Final = (*KINDS, *ASYNC_KINDS)
NOWHERE: Final = "http://127.0.0.1:1"


class Clock:
    """A clock that moves when the test says so, for all that looks at one."""

    def __init__(self) -> None:
        self.ms = NOW_MS
        self._drawn = 0
        self.around = Around(clock=lambda: self.ms / 1000, now_ms=lambda: self.ms, token=self._token)

    def advance(self, seconds: float) -> None:
        self.ms += round(seconds * 1000)

    def _token(self) -> str:
        self._drawn += 1
        return f"token-{self._drawn}"


class Centre:
    """What of a centre the watch asks: payments by order, events by cursor. ``asked``: of which orders, in turn. ``tried``: how often
    anything was asked."""

    def __init__(self) -> None:
        self.payments: dict[str, Payment] = {}
        self.events: list[Event] = []
        self.asked: list[str] = []
        self.tried = 0
        self.down = False
        self.page_max = 3

    def answer(self, call: Call[Any]) -> Any:
        self.tried += 1
        if self.down:
            raise NotSent("nobody listens", call=call.name, outcome=None)
        query = dict(call.query)
        if call.path == "/v1/events":
            start = int(query.get("after", 0))
            found = tuple(self.events[start : start + self.page_max])
            return EventPage(data=found, next=str(start + len(found)) if start + len(found) else "")
        assert call.path == "/v1/payments"
        self.asked.append(query["order_no"])
        payment = self.payments.get(query["order_no"])
        seen = () if payment is None else (_seen(payment),)
        return call.then(Page[PaymentSeen](data=seen, next=None))


def _seen(payment: Payment) -> PaymentSeen:
    return PaymentSeen(**{name: getattr(payment, name) for name in Payment.__struct_fields__}, attempts=())


class _Client:
    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    def make(self, call: Call[Any], /) -> Any:
        return self._centre.answer(call)


class _AsyncClient:
    def __init__(self, centre: Centre) -> None:
        self._centre = centre

    async def make(self, call: Call[Any], /) -> Any:
        await asyncio.sleep(0)
        return self._centre.answer(call)


@dataclass
class App:
    """What tests do with it. ``trouble``: called in each handler after its write; may raise. ``heard``: the words of the
    milestones that handlers were called for."""

    kind: str
    clock: Clock = field(default_factory=Clock)
    centre: Centre = field(default_factory=Centre)
    trouble: Callable[[Milestone], None] = lambda _: None
    heard: list[str] = field(default_factory=list)

    async def take(self, told: Event | Payment) -> tuple[str, ...]:
        """The words of what was run."""
        raise AssertionError

    async def run(self, sql: str, *values: Any) -> list[Any]:
        raise AssertionError

    async def poisoned(self) -> list[Poisoned]:
        raise AssertionError

    async def forget(self, days: int) -> int:
        raise AssertionError

    async def register(self, order_no: str, then: Callable[[], None] = lambda: None, above: int = 0) -> None:
        """``then``: called in the same transaction; may raise."""
        raise AssertionError

    async def round(self) -> int:
        """A round of the watch."""
        raise AssertionError

    async def pull(self) -> int:
        raise AssertionError

    async def submit(self, fields: dict[str, Any], order_no: str, making: Callable[[], None]) -> Submission:
        """Through the guard, without a door. ``making``: called while the order is being made; may raise."""
        raise AssertionError

    async def claim(self, fields: dict[str, Any], order_no: str, making: Callable[[], None]) -> Submission | None:
        """In a transaction of the app's own; None when ``making`` raised."""
        raise AssertionError

    async def prune(self) -> int:
        raise AssertionError

    async def deeds(self, order_no: str = "A-1") -> Counter[str]:
        """What was done, and how often."""
        return Counter(what for (what,) in await self.run("SELECT what FROM deed WHERE order_no = ?", order_no))

    async def orders(self) -> list[str]:
        return [order_no for (order_no,) in await self.run("SELECT order_no FROM orders ORDER BY order_no")]


WRITE_DEED: Final = "INSERT INTO deed (order_no, what, minor) VALUES (?, ?, ?)"
WRITE_ORDER: Final = "INSERT INTO orders (order_no) VALUES (?)"


def _deed(milestone: Milestone) -> tuple[Any, ...]:
    minor = milestone.refund.minor if milestone.refund else milestone.payment.minor
    return milestone.payment.order_no, milestone.key, minor


class ThreadApp(App):
    """On a database for threads; each call runs in a thread of its own."""

    def attach(self, books: Books, client: Any = None) -> ThreadApp:
        """``client``: of a real centre."""
        self.books = books
        self.inbox: Inbox[Any] = Inbox(books.begin, around=self.clock.around)
        self.inbox.on(*WORDS)(self._hear)
        self.watch: Watch[Any] = Watch(
            client or _Client(self.centre), self.inbox, absent=self._absent, around=self.clock.around
        )
        self.guard: SubmissionGuard[Any] = SubmissionGuard(books.begin, around=self.clock.around)
        return self

    def _hear(self, within: Any, milestone: Milestone) -> None:
        self.books.write(within, WRITE_DEED, *_deed(milestone))
        self.heard.append(milestone.word)
        self.trouble(milestone)

    def _absent(self, within: Any, order_no: str) -> None:
        self.books.write(within, WRITE_DEED, order_no, "absent", 0)

    async def take(self, told: Event | Payment) -> tuple[str, ...]:
        return _words(await asyncio.to_thread(self.inbox.take, told))

    async def run(self, sql: str, *values: Any) -> list[Any]:
        return await asyncio.to_thread(self.books.run, sql, *values)

    async def poisoned(self) -> list[Poisoned]:
        return await asyncio.to_thread(self.inbox.poisoned)

    async def forget(self, days: int) -> int:
        return await asyncio.to_thread(self.inbox.forget, days)

    async def register(self, order_no: str, then: Callable[[], None] = lambda: None, above: int = 0) -> None:
        def register() -> None:
            with self.books.begin() as within:
                self.watch.register(within, order_no, above=above)
                then()

        await asyncio.to_thread(register)

    async def round(self) -> int:
        return await asyncio.to_thread(self.watch.run_once)

    async def pull(self) -> int:
        return await asyncio.to_thread(self.watch.pull)

    async def submit(self, fields: dict[str, Any], order_no: str, making: Callable[[], None]) -> Submission:
        def create(within: Any) -> None:
            self.books.write(within, WRITE_ORDER, order_no)
            making()

        return await asyncio.to_thread(self.guard.once, fields, order_no, create)

    async def claim(self, fields: dict[str, Any], order_no: str, making: Callable[[], None]) -> Submission | None:
        def claim() -> Submission:
            with self.books.begin() as within:
                said = self.guard.claim(within, fields, order_no)
                if said.first:
                    self.books.write(within, WRITE_ORDER, order_no)
                    making()
            return said

        (said,) = await asyncio.gather(asyncio.to_thread(claim), return_exceptions=True)
        return said if isinstance(said, Submission) else None

    async def prune(self) -> int:
        return await asyncio.to_thread(self.guard.prune)


class LoopApp(App):
    """On a database for asyncio."""

    def attach(self, books: AsyncBooks, client: Any = None) -> LoopApp:
        """``client``: of a real centre."""
        self.books = books
        self.inbox: AsyncInbox[Any] = AsyncInbox(books.begin, around=self.clock.around)
        self.inbox.on(*WORDS)(self._hear)
        self.watch: AsyncWatch[Any] = AsyncWatch(
            client or _AsyncClient(self.centre), self.inbox, absent=self._absent, around=self.clock.around
        )
        self.guard: AsyncSubmissionGuard[Any] = AsyncSubmissionGuard(books.begin, around=self.clock.around)
        return self

    async def _hear(self, within: Any, milestone: Milestone) -> None:
        await self.books.write(within, WRITE_DEED, *_deed(milestone))
        self.heard.append(milestone.word)
        self.trouble(milestone)

    async def _absent(self, within: Any, order_no: str) -> None:
        await self.books.write(within, WRITE_DEED, order_no, "absent", 0)

    async def take(self, told: Event | Payment) -> tuple[str, ...]:
        return _words(await self.inbox.take(told))

    async def run(self, sql: str, *values: Any) -> list[Any]:
        return await self.books.run(sql, *values)

    async def poisoned(self) -> list[Poisoned]:
        return await self.inbox.poisoned()

    async def forget(self, days: int) -> int:
        return await self.inbox.forget(days)

    async def register(self, order_no: str, then: Callable[[], None] = lambda: None, above: int = 0) -> None:
        async with self.books.begin() as within:
            await self.watch.register(within, order_no, above=above)
            then()

    async def round(self) -> int:
        return await self.watch.run_once()

    async def pull(self) -> int:
        return await self.watch.pull()

    async def submit(self, fields: dict[str, Any], order_no: str, making: Callable[[], None]) -> Submission:
        async def create(within: Any) -> None:
            await self.books.write(within, WRITE_ORDER, order_no)
            making()

        return await self.guard.once(fields, order_no, create)

    async def claim(self, fields: dict[str, Any], order_no: str, making: Callable[[], None]) -> Submission | None:
        async def claim() -> Submission:
            async with self.books.begin() as within:
                said = await self.guard.claim(within, fields, order_no)
                if said.first:
                    await self.books.write(within, WRITE_ORDER, order_no)
                    making()
            return said

        (said,) = await asyncio.gather(claim(), return_exceptions=True)
        return said if isinstance(said, Submission) else None

    async def prune(self) -> int:
        return await self.guard.prune()


def _words(found: tuple[Milestone, ...]) -> tuple[str, ...]:
    return tuple(milestone.word for milestone in found)


@asynccontextmanager
async def open_app(kind: str, where: Where, *, centre_url: str = "", key: str = "") -> AsyncIterator[App]:
    """A shop on a database of this kind; of a real centre when its address is given."""
    if kind in KINDS:
        with open_books(kind, where) as books, Client(centre_url or NOWHERE, key or "onc_none") as client:
            await asyncio.to_thread(books.make)  # a loop is no place for Django
            yield ThreadApp(kind).attach(books, client if centre_url else None)
    else:
        async with (
            open_async_books(kind, where) as async_books,
            AsyncClient(centre_url or NOWHERE, key or "onc_none") as async_client,
        ):
            await async_books.make()
            yield LoopApp(kind).attach(async_books, async_client if centre_url else None)
