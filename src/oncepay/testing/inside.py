"""What a test's handle has done in the thread of its centre."""

from __future__ import annotations

import os
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

from starlette.types import ASGIApp

from oncepay.client import Event, Payment
from oncepay.domain import ids
from oncepay.domain.attempt import Attempt
from oncepay.domain.payment import Payment as Stored
from oncepay.engine import admin
from oncepay.engine.pay import credential
from oncepay.ports import Page
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.vendor import Refused
from oncepay.testing.receiver import TOLD, Receiver
from oncepay.testing.report import report
from oncepay.testing.together import Opened, Together, open_together

T = TypeVar("T")
Which = Payment | Event | str

SEED: Final = 1
KNOWN_MAX: Final = 10  # orders that are named when another is looked for


class Unpayable(Exception):
    """The payer cannot pay this now; ``code`` is the channel's reason: already_paid, closed, expired ..."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(f"{code}: {text}")
        self.code = code


class _Dice:
    """Unguessable tokens; jitter that is the same in every run."""

    def __init__(self) -> None:
        self._jitter = random.Random(SEED)

    def token(self) -> str:
        return os.urandom(16).hex()

    def draw(self) -> float:
        return self._jitter.random()


class Inside(Together):
    """A sandbox and a centre that tell everything to a receiver."""

    def __init__(self, opened: Opened, receiver: Receiver) -> None:
        super().__init__(opened)
        self.receiver = receiver
        self._own = ""  # the id of the receiver's endpoint

    async def listen(self) -> None:
        """Be told everything from now on."""
        url = self.engine.settings.public_url + TOLD
        endpoint, self.receiver.secret = await admin.add_endpoint(self.engine, self.app, url)
        self._own = endpoint.id

    async def call(self, function: Callable[..., T], *arguments: Any) -> T:
        """A call that does not wait, made in this thread."""
        return function(*arguments)

    async def struck(self, fault: str) -> int:
        """How often a fault has struck."""
        return self.sandbox.faults.struck.get(fault, 0)

    async def find(self, which: Which) -> Stored:
        """The payment that is meant. Raises LookupError that names the orders there are."""
        name = which.payment.id if isinstance(which, Event) else which if isinstance(which, str) else which.id
        order = "" if name.startswith("pay_") else name
        payment_id = ids.payment_id(self.engine.ledger.installation, self.app.id, order) if order else name[4:]
        payment = await self.engine.ledger.load(payment_id)
        if payment is None:
            known, _ = await self.engine.ledger.payments(self.app.id, Page(limit=KNOWN_MAX))
            orders = ", ".join(other.order_no for other in known) or "none"
            raise LookupError(f"the app has asked for no payment {name!r}; the latest orders are: {orders}")
        return payment

    async def pay(self, which: Which, channel: str, method: str, how: Mapping[str, str]) -> None:
        """The payer pays; then everything is done that is due. Raises Unpayable."""
        payment = await self.find(which)
        attempt = _to_pay(payment, channel, method)
        try:
            await self.pays(attempt, await credential(self.engine, payment, attempt), **how)
        except Refused as error:
            raise Unpayable(error.code, str(error)) from None
        await self.settle()

    async def kept_of(self, which: Which) -> int:
        """What the channels hold, once everything is done that is due."""
        await self.settle()
        return self.kept(await self.find(which))

    async def events(self, which: Which) -> list[Event]:
        """What the app was told, once everything is done that is due; each version once, in their order."""
        await self.settle()
        payment_id = f"pay_{(await self.find(which)).id}"
        by_version = {event.version: event for event in self.receiver.events if event.payment.id == payment_id}
        return [by_version[version] for version in sorted(by_version)]

    async def story(self, which: Which) -> str:
        """A payment from all sides."""
        told = [change for event in await self.events(which) for change in event.changes]
        return await report(self, await self.find(which), told, self._own)

    async def endpoint(self, url: str) -> str:
        """The secret of a new endpoint."""
        _, secret = await admin.add_endpoint(self.engine, self.app, url)
        return secret

    async def policies(
        self, late: Literal["refund", "accept"] | None, unclosable: Literal["switch", "wait"] | None
    ) -> None:
        """Change the app's."""
        self.app = await admin.set_policies(self.engine, self.app, late=late, unclosable=unclosable)


def _to_pay(payment: Stored, channel: str, method: str) -> Attempt:
    """The attempt that is meant. Raises Unpayable."""
    made = [a for a in payment.attempts if a.incoming]
    fit = [a for a in made if channel in {"", a.channel} and method in {"", a.method}]
    if not fit:
        ways = ", ".join(f"{a.channel} {a.method}" for a in made) or "none"
        wanted = f"{channel} {method}".strip() or "any"
        raise Unpayable("attempt_absent", f"order {payment.order_no} has no attempt by {wanted}, there are: {ways}")
    named = bool(channel or method)
    return next((a for a in reversed(fit) if not named and not a.settled and not a.superseded_ms), fit[-1])


@asynccontextmanager
async def open_inside(home: Path) -> AsyncIterator[Inside]:
    """A sandbox and a centre, from the time that it is on; their data in a folder that may hold the sandbox's keys."""
    started_s = float(int(time.time()))
    receivers: list[Receiver] = []

    def within(app: ASGIApp) -> ASGIApp:
        receivers.append(Receiver(app, sandbox.clock.now))
        return receivers[0]

    async with (
        Sandbox(home=home, journal=False, seed=SEED, clock=lambda: started_s) as sandbox,
        open_together(
            sandbox,
            f"sqlite:///{home / 'oncepay.db'}",
            dice=_Dice(),
            accounts={channel: channel for channel in sandbox.vendors},
            hand_over=False,
            within=within,
        ) as opened,
    ):
        inside = Inside(opened, receivers[0])
        await inside.listen()
        yield inside
