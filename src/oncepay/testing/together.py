"""The sandbox and a centre together in one event loop, on loopback, with one clock that only a test moves.

Nothing runs by itself: what is due is done when the test says so (``settle``), or when it lets time pass (``passes``),
each thing at its moment. So a test neither sleeps nor guesses.
"""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec
from starlette.types import ASGIApp

from oncepay.assembly import Centre, assemble
from oncepay.config import Config
from oncepay.domain.attempt import Attempt
from oncepay.domain.payment import Payment
from oncepay.engine import admin, step, workers
from oncepay.engine.core import Engine
from oncepay.http.edge import EdgeServer, make_server
from oncepay.ports import App, DeliveryRow, Dice, Page
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Row

LOOPBACK: Final = ("127.0.0.0/8", "::1/128")
PAGE: Final = 100
PAUSE_MAX_S: Final = 10.0  # no pause inside a request is longer, see Config.start_budget_s
LOOK_S: Final = 0.001  # real time between two looks at what is under way
SEEN_S: Final = 0.005  # real time that a pause leaves to calls and commits, which are real
MARKS_S: Final = 5.0  # real time after which a mark counts as lost; then the delivery comes again after its lease
OPENED: Final = frozenset({"code_url", "url", "order_string", "tn", "form"})  # credentials that say which order


class SharedClock:
    """The sandbox's clock is everybody's. A pause inside a request moves it: the request ends, and its caller's test
    goes on. What waits for longer waits until the test moves it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox
        self.asleep = 0  # how many wait for it to be moved

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC, as the sandbox has it."""
        return round(self._sandbox.clock.now() * 1000)

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        if seconds > PAUSE_MAX_S:
            over = asyncio.Event()
            self._sandbox.clock.at(self._sandbox.clock.now() + seconds, over.set)
            self.asleep += 1
            try:
                await over.wait()
            finally:
                self.asleep -= 1
        else:
            await asyncio.sleep(SEEN_S)
            self._sandbox.advance(seconds)


class Lent(NamedTuple):
    """A delivery, by what names it."""

    payment_id: str
    version: int
    endpoint_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A sandbox and a centre with one app: what was started."""

    sandbox: Sandbox
    clock: SharedClock
    config: Config
    centre: Centre
    app: App
    key: str


class Together:
    """What a test does with them. Everything is of one event loop."""

    def __init__(self, opened: Opened) -> None:
        self.sandbox = opened.sandbox
        self.clock = opened.clock
        self.config = opened.config
        self.centre = opened.centre
        self.engine: Engine = opened.centre.engine
        self.app = opened.app
        self.key = opened.key
        self._lent: dict[Lent, int] = {}  # what was claimed last -> its tries before

    # -- what payers do ----------------------------------------------------------------------------------------------

    async def pays(self, attempt: Attempt, credential: str, **how: str) -> None:
        """Somebody scans or opens what was shown (``credential``: as JSON) and pays; notifications and what follows
        from them arrive, unless a fault stops them. ``how``: more of ``/sandbox/pay``. Raises Refused."""
        self.sandbox.pay_for({**as_opened(attempt.no, credential), "channel": attempt.channel, **how})
        await self.quiet()

    def rows(self, payment: Payment) -> list[Row]:
        """The channels' orders of a payment, by their own books."""
        return [row for row in self.sandbox.books() if row.number.startswith(payment.id)]

    def kept(self, payment: Payment) -> int:
        """What the channels hold for this payment, in minor units: paid less refunded, over all its numbers."""
        return sum(row.paid - row.refunded for row in self.rows(payment))

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        """What time it is."""
        return self.engine.clock.now_ms()

    async def quiet(self) -> None:
        """Until the notifications and deliveries under way are answered, and the answers are stored."""
        await self.sandbox.settle()
        while self.centre.deliverer.busy or len(self.engine.background) > self.clock.asleep:
            await asyncio.sleep(LOOK_S)
        end = asyncio.get_running_loop().time() + MARKS_S
        while await self._unmarked() and asyncio.get_running_loop().time() < end:
            await asyncio.sleep(LOOK_S)
        self._lent = {}

    async def settle(self) -> None:
        """Until everything is done that is due now."""
        while True:
            await self.quiet()
            if not await workers.run_due_once(self.engine) + await self._claim():
                return

    async def passes(self, seconds: float) -> None:
        """Time passes, and everything that falls due in it is done when it falls due."""
        end_ms = self.now_ms + round(seconds * 1000)
        while True:
            await self.settle()
            next_ms = await self._next_ms()
            if next_ms is None or next_ms > end_ms:
                break
            # a millisecond more, for what floating point takes away
            self.sandbox.advance(max(next_ms - self.now_ms, 0) / 1000 + 0.001)
        self.sandbox.advance(max(end_ms - self.now_ms, 0) / 1000)
        await self.settle()

    async def _claim(self) -> int:
        now_ms = self.now_ms
        self._lent = {
            _named(row): row.tries async for row in self._due() if row.due_ms is not None and row.due_ms <= now_ms
        }
        return await self.centre.deliverer.claim()

    async def _unmarked(self) -> bool:
        """Whether a delivery was tried and the store does not say so yet: it is still lent, and its tries are those
        from before. One that was handed over as it was made was not tried before."""
        now_ms = self.now_ms
        async for row in self._due():
            if row.due_ms is not None and row.due_ms > now_ms and row.tries == self._lent.get(_named(row), 0):
                return True
        return False

    async def _next_ms(self) -> int | None:
        """When the next thing falls due that does not now."""
        now_ms = self.now_ms
        ahead = [step.next_step(self.engine, payment, now_ms) async for payment in self._payments()]
        times = [due.at_ms for due in ahead if due is not None]
        times += [row.due_ms async for row in self._due() if row.due_ms is not None]
        if (timer_s := self.sandbox.clock.next_due) is not None:
            times.append(round(timer_s * 1000))
        return min((at_ms for at_ms in times if at_ms > now_ms), default=None)

    async def _payments(self) -> AsyncIterator[Payment]:
        after, more = "", True
        while more:
            payments, after = await self.engine.ledger.payments(self.app.id, Page(limit=PAGE, after=after))
            for payment in payments:
                yield payment
            more = bool(after)

    async def _due(self) -> AsyncIterator[DeliveryRow]:
        after, more = "", True
        while more:
            page = Page(limit=PAGE, after=after)
            rows, after = await self.engine.ledger.deliveries(self.app.id, page, status="due")
            for row in rows:
                yield row
            more = bool(after)


def _named(row: DeliveryRow) -> Lent:
    return Lent(row.payment_id, row.version, row.endpoint_id)


def as_opened(number: str, credential: str) -> dict[str, Any]:
    """How the sandbox is told which order a payer pays: by what was shown, which makes the order known there in the
    first place, or by its number where another program opens it."""
    shown = msgspec.json.decode(credential or "{}")
    if "fields" in shown:
        shown = {"form": {"action": shown.get("action"), "fields": shown["fields"]}}
    return shown if OPENED & shown.keys() else {**shown, "number": number}


@asynccontextmanager
async def open_together(
    sandbox: Sandbox,
    database_url: str,
    *,
    dice: Dice,
    accounts: Mapping[str, str],
    hand_over: bool = True,
    within: Callable[[ASGIApp], ASGIApp] = lambda app: app,
    **settings: Any,
) -> AsyncIterator[Opened]:
    """A centre beside a sandbox that serves already, with an app ``shop``.

    accounts: which to add, by id, each of which channel. hand_over: whether events are delivered as they happen, as by
    a centre in production, or only when the test settles. within: what to put around the centre's application.
    settings: more of them, as in ``Config``.
    """
    listener = socket.create_server(("127.0.0.1", 0), backlog=128)
    config = Config(
        database_url=database_url,
        public_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
        master_key=base64.b64encode(b"k" * 32).decode(),
        **settings,
    )
    clock = SharedClock(sandbox)
    centre = await assemble(config, clock=clock, dice=dice)
    if hand_over:
        centre.engine.hand_over = centre.deliverer.hand_over
    server = make_server(within(centre.app), listener=listener, lifespan="off")
    serving = asyncio.create_task(server.serve())
    try:
        app, key = await admin.create_app(centre.engine, "shop", "A shop")
        app = await admin.set_policies(centre.engine, app, private_networks=LOOPBACK)
        for account_id, channel in accounts.items():
            await admin.add_account(centre.engine, account_id, channel, **sandbox.config[channel]["account"])
        await _until_ready(server, serving)
        yield Opened(sandbox=sandbox, clock=clock, config=config, centre=centre, app=app, key=key)
    finally:
        server.stop()
        await serving
        await centre.stop(1.0)


async def _until_ready(server: EdgeServer, serving: asyncio.Task[None]) -> None:
    ready = asyncio.create_task(server.ready.wait())
    await asyncio.wait({ready, serving}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if serving.done():
        serving.result()
