"""An app that nobody ever tells anything, with a real centre and a real client: it brings each order to its end alone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final

import pytest

from oncepay.client import AsyncClient, Attempt, PaymentStarted
from tests.client.guards.apps import App, open_app
from tests.client.guards.books import Where
from tests.wire.api import Api, open_api

NATIVE: Final = Attempt(channel="wechat", method="native")
MINUTES: Final = 10  # to pay in


@dataclass
class Street:
    """A shop without a webhook, and what happens around it."""

    api: Api
    app: App
    client: AsyncClient

    async def order(self, order_no: str) -> PaymentStarted:
        """As an app does it: registered first, then asked for."""
        await self.app.register(order_no)
        return await self.client.payments.create(
            order_no=order_no, minor=8800, currency="CNY", subject="Tea", attempt=NATIVE,
            deadline_ms=self.api.town.now_ms + MINUTES * 60_000,
        )  # fmt: skip

    async def payer_pays(self, payment: PaymentStarted) -> None:
        assert payment.attempt is not None
        self.api.town.sandbox.pay(payment.attempt.id.removeprefix("att_"))
        await self.api.town.quiet()

    async def passes(self, minutes: int) -> None:
        """Time passes, and the shop makes a round every ten seconds."""
        for _ in range(minutes * 6):
            await self.api.town.passes(10)
            self.app.clock.ms = self.api.town.now_ms
            await self.app.round()

    async def waiting(self) -> list[Any]:
        return await self.app.run("SELECT order_no FROM oncepay_watch")


@pytest.fixture(params=["sqlite3", "asyncpg"])
async def street(request: pytest.FixtureRequest, where: Where) -> AsyncIterator[Street]:
    async with open_api() as api:
        api.town.app = api.other_app  # which has no endpoint
        url, key = api.engine.settings.public_url, api.other.key
        assert key is not None
        async with open_app(request.param, where, centre_url=url, key=key) as app, AsyncClient(url, key) as client:
            app.clock.ms = api.town.now_ms
            yield Street(api, app, client)


async def test_every_order_comes_to_its_end(street: Street) -> None:
    app = street.app
    paid, late = await street.order("paid"), await street.order("late")
    await street.order("abandoned")
    await app.register("never-asked-for")
    await street.payer_pays(paid)
    await street.passes(1)
    assert await app.deeds("paid") == {"paid": 1}
    await street.passes(MINUTES - 2)
    await street.payer_pays(late)
    await street.passes(20)
    assert await app.deeds("late") == {"paid": 1}
    (closed,) = await app.deeds("abandoned")
    assert closed.startswith("closed/")
    assert await app.deeds("never-asked-for") == {"absent": 1}

    await app.register("paid")
    await street.client.refunds.create(paid.id, refund_no="R-1", minor=800)
    await street.passes(5)
    assert await app.deeds("paid") == {"paid": 1, "refund.done/R-1": 1}
    assert await street.waiting() == []
    assert street.api.town.shop.heard == []


async def test_the_feed_alone_is_enough_too(street: Street) -> None:
    app = street.app
    for n in range(7):
        payment = await street.order(f"A-{n}")
        if n % 2:
            await street.payer_pays(payment)
    await app.pull()
    assert [await app.deeds(f"A-{n}") for n in (0, 1)] == [{}, {"paid": 1}]
    await street.api.town.passes(MINUTES * 120)
    assert await app.pull() > 0
    for n in range(7):
        (what,) = await app.deeds(f"A-{n}")
        assert what.partition("/")[0] == ("paid" if n % 2 else "closed")
    app.clock.ms = street.api.town.now_ms
    asked = await app.round()
    assert (asked, await street.waiting()) == (0, [])
