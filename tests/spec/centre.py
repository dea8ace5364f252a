"""A whole centre for a test to play with: the real engine, store, HTTP and channel against the real sandbox, a shop
that hears signed webhooks, and one clock for all of them that only moves when the test says so."""

from __future__ import annotations

import json
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from oncepay.assembly import SystemDice
from oncepay.domain.attempt import Attempt
from oncepay.domain.payment import Payment
from oncepay.engine import admin, close, refund, step
from oncepay.engine.pay import NewAttempt, NewPayment, Shown, create, start
from oncepay.ports import Page
from oncepay.sandbox.alipay import keys as alipay_keys
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.unionpay import keys as unionpay_keys
from oncepay.sandbox.wechat.keys import KeyFile
from oncepay.testing.together import Opened, Together, open_together

START_S = 1_800_000_000.0
HOUR_MS = 3_600_000


class Shop:
    """A business app's side: verifies, remembers every delivery, keeps what it was told in books of its own."""

    def __init__(self) -> None:
        self.secret = ""
        self.status = 204  # what it answers
        self.heard: list[dict[str, Any]] = []
        self.books: dict[str, dict[str, Any]] = {}
        self.url = ""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[Shop]:
        app = web.Application()
        app.router.add_post("/hook", self._hear)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
        try:
            yield self
        finally:
            await runner.cleanup()

    async def _hear(self, request: web.Request) -> web.Response:
        body = await request.read()
        # the time of the message is the sandbox's, so only the signature is checked by the independent reader
        verifier = Webhook(self.secret)
        at = request.headers["webhook-timestamp"]
        message = f"{request.headers['webhook-id']}.{at}.{body.decode()}"
        expected = verifier.sign(request.headers["webhook-id"], _time(at), body.decode())
        assert expected in request.headers["webhook-signature"].split(" "), message
        event = json.loads(body)
        self.heard.append(event)
        if self.status >= 300:
            return web.Response(status=self.status)
        data = event["data"]
        known = self.books.get(data["order_no"])
        if known is None or known["version"] < data["version"]:
            self.books[data["order_no"]] = data
        return web.Response(status=self.status)

    def told(self, order_no: str) -> list[str]:
        """What the shop was told of an order, in the order of versions, each version once."""
        by_version = {e["version"]: e["changes"] for e in self.heard if e["data"]["order_no"] == order_no}
        return [change for version in sorted(by_version) for change in by_version[version]]


def _time(text: str) -> Any:
    from datetime import UTC, datetime

    return datetime.fromtimestamp(int(text), UTC)


class Town(Together):
    """What a test holds."""

    def __init__(self, opened: Opened, shop: Shop) -> None:
        super().__init__(opened)
        self.shop = shop

    # -- what apps and payers do -------------------------------------------------------------------------------------

    async def pay(
        self, order_no: str, *, minor: int = 8800, channel: str = "wechat", method: str = "native", minutes: int = 60
    ) -> Shown:
        """The app creates a payment with a first attempt."""
        new = NewPayment(
            order_no=order_no, minor=minor, currency="CNY", subject="Tea", deadline_ms=self.now_ms + minutes * 60_000
        )
        payer = {"openid": "oTEST-0000000000000000000001"} if method == "jsapi" else {}
        payer = {"client_ip": "203.0.113.7"} if method == "h5" else payer
        return await create(self.engine, self.app, new, NewAttempt(channel=channel, method=method, payer=payer))

    async def starts(self, payment: Payment, channel: str, method: str) -> Shown:
        """The payer chose: another way to pay the same, or the same again."""
        stored = await self.engine.load(payment.id)
        return await start(self.engine, stored, NewAttempt(channel=channel, method=method))

    async def payer_pays(self, shown: Shown) -> None:
        """Somebody scans what was shown, or opens it, and pays; the notification arrives unless a fault stops it."""
        assert shown.attempt is not None
        await self.pays(shown.attempt, shown.credential)

    async def closes(self, payment: Payment, if_paid: Any = "keep") -> Payment:
        return await close.close(self.engine, await self.engine.load(payment.id), if_paid)

    async def refunds(self, payment: Payment, refund_no: str, minor: int) -> Payment:
        after, _ = await refund.refund(self.engine, await self.engine.load(payment.id), refund_no, minor, "")
        return after

    async def asks(self, payment: Payment) -> Payment:
        return await step.ask_now(self.engine, await self.engine.load(payment.id))

    async def replays(self) -> int:
        """An operator has what is parked sent again: it starts a new count of tries."""
        return await self.engine.ledger.replay(self.app.id, self.now_ms)

    # -- what there is to see ----------------------------------------------------------------------------------------

    async def now(self, payment: Payment) -> Payment:
        return await self.engine.load(payment.id)

    async def last_attempt(self, payment: Payment) -> Attempt:
        return [a for a in (await self.now(payment)).attempts if a.incoming][-1]

    def faults(self, *once: dict[str, Any], **rates: float) -> None:
        self.sandbox.faults.replace({"rates": rates, "once": list(once)})

    def kept_in_books(self, payment: Payment) -> int:
        """Fen that the channel holds for this payment: paid less refunded, over all its numbers."""
        return self.kept(payment)

    def refunds_in_books(self, payment: Payment) -> list[int]:
        return [r.amount for row in self.rows(payment) for r in row.refunds]

    async def cases(self) -> list[str]:
        rows, _ = await self.engine.ledger.cases(Page(limit=100))
        return [row.kind for row in rows]


@cache
def _drawn() -> tuple[bytes, bytes]:
    """To draw keys takes a while: once for all tests."""
    dice = random.Random(1)
    drawn = alipay_keys.new_keys(dice, START_S), unionpay_keys.new_keys(dice, START_S)
    return msgspec.json.encode(drawn[0]), msgspec.json.encode(drawn[1])


def new_sandbox(keys: KeyFile) -> Sandbox:
    """Always the same merchants, at one time."""
    alipay, unionpay = _drawn()
    return Sandbox(
        clock=lambda: START_S,
        seed=1,
        keys=keys,
        alipay_keys=msgspec.json.decode(alipay, type=alipay_keys.KeyFile),
        unionpay_keys=msgspec.json.decode(unionpay, type=unionpay_keys.KeyFile),
    )


ACCOUNTS: Final = {"wx": "wechat", "ali": "alipay", "up": "unionpay"}


@asynccontextmanager
async def open_town(database_url: str, keys: KeyFile, **settings: Any) -> AsyncIterator[Town]:
    """Sandbox, shop and centre on loopback. ``settings``: more of them, as in ``Config``."""
    shop = Shop()
    async with (
        new_sandbox(keys) as sandbox,
        shop.open(),
        open_together(sandbox, database_url, dice=SystemDice(), accounts=ACCOUNTS, **settings) as opened,
    ):
        _, shop.secret = await admin.add_endpoint(opened.centre.engine, opened.app, shop.url)
        yield Town(opened, shop)


async def api(town: Town, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """One call of the real HTTP API."""
    url = town.engine.settings.public_url + path
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {town.key}"}) as session,
        session.request(method, url, json=body) as answer,
    ):
        return answer.status, await answer.json()
