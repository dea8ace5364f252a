"""A whole centre for a test to play with: the real engine, store, HTTP and channel against the real sandbox, a shop
that hears signed webhooks, and one clock for all of them that only moves when the test says so."""

from __future__ import annotations

import asyncio
import base64
import json
import random
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, Final

import aiohttp
import msgspec
from aiohttp import web
from standardwebhooks.webhooks import Webhook

from oncepay.assembly import Centre, SystemDice, assemble
from oncepay.config import Config
from oncepay.domain.attempt import Attempt
from oncepay.domain.payment import Payment
from oncepay.engine import admin, close, refund, step, workers
from oncepay.engine.core import Engine
from oncepay.engine.pay import NewAttempt, NewPayment, Shown, create, start
from oncepay.http.edge import make_server
from oncepay.ports import App, Page
from oncepay.sandbox.alipay import keys as alipay_keys
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.unionpay import keys as unionpay_keys
from oncepay.sandbox.wechat.keys import KeyFile

START_S = 1_800_000_000.0
HOUR_MS = 3_600_000


class SandboxClock:
    """The sandbox's clock is everybody's; to sleep is to move it. Calls and commits are real and take real time, so a
    sleeper lets them have a little of it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def now_ms(self) -> int:
        return round(self._sandbox.clock.now() * 1000)

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0.005)
        self._sandbox.advance(seconds)


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


class Town:
    """What a test holds."""

    def __init__(self, sandbox: Sandbox, centre: Centre, shop: Shop, app: App, key: str, *, config: Config) -> None:
        self.sandbox = sandbox
        self.config = config
        self.centre = centre
        self.engine: Engine = centre.engine
        self.shop = shop
        self.app = app
        self.key = key
        self.replayed = 0  # what the shop had heard at the last replay

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
        given = json.loads(shown.credential or "{}")
        as_form = {"form": {"action": given.get("action"), "fields": given.get("fields")}}
        opened = as_form if given.get("type") == "form" else given
        self.sandbox.pay_for({**opened, "channel": shown.attempt.channel, **self._named(shown, opened)})
        await self.quiet()

    def _named(self, shown: Shown, opened: dict[str, Any]) -> dict[str, str]:
        """By its number, where what was shown is for another program to open."""
        assert shown.attempt is not None
        known = {"code_url", "url", "order_string", "tn", "form"} & opened.keys()
        return {} if known else {"number": shown.attempt.no}

    async def closes(self, payment: Payment, if_paid: Any = "keep") -> Payment:
        return await close.close(self.engine, await self.engine.load(payment.id), if_paid)

    async def refunds(self, payment: Payment, refund_no: str, minor: int) -> Payment:
        after, _ = await refund.refund(self.engine, await self.engine.load(payment.id), refund_no, minor, "")
        return after

    async def asks(self, payment: Payment) -> Payment:
        return await step.ask_now(self.engine, await self.engine.load(payment.id))

    # -- time --------------------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self.engine.clock.now_ms()

    async def quiet(self) -> None:
        """Until notifications and deliveries under way are answered and marked."""
        await self.sandbox.settle()
        while self.centre.deliverer.busy or not await self._marked():  # noqa: ASYNC110 - two programs' states
            await asyncio.sleep(0.001)

    async def _marked(self) -> bool:
        """Every delivery that the shop heard is counted in the store."""
        rows, _ = await self.engine.ledger.deliveries(self.app.id, Page(limit=100))
        tries = Counter({f"evt_{row.payment_id}_{row.version}": row.tries for row in rows})
        return tries == Counter(event["id"] for event in self.shop.heard[self.replayed :])

    async def replays(self) -> int:
        """An operator has what is parked sent again: it starts a new count of tries."""
        self.replayed = len(self.shop.heard)
        return await self.engine.ledger.replay(self.app.id, self.now_ms)

    async def passes(self, seconds: float) -> None:
        """Time passes, and everything that falls due in it is done when it falls due."""
        end_ms = self.now_ms + round(seconds * 1000)
        while True:
            await self.quiet()
            if await workers.run_due_once(self.engine) + await self.centre.deliverer.claim():
                continue
            next_ms = await self._next_ms()
            if next_ms is None or next_ms > end_ms:
                break
            self.sandbox.advance(max(next_ms - self.now_ms, 0) / 1000 + 0.001)
        self.sandbox.advance(max(end_ms - self.now_ms, 0) / 1000)
        await self.quiet()
        while await workers.run_due_once(self.engine) + await self.centre.deliverer.claim():
            await self.quiet()

    async def _next_ms(self) -> int | None:
        payments, _ = await self.engine.ledger.payments(self.app.id, Page(limit=100))
        ahead = [step.next_step(self.engine, payment, self.now_ms) for payment in payments]
        times = [due.at_ms for due in ahead if due is not None]
        rows, _ = await self.engine.ledger.deliveries(self.app.id, Page(limit=100), status="due")
        times += [row.due_ms for row in rows if row.due_ms is not None]
        return min((t for t in times if t > self.now_ms), default=None)

    # -- what there is to see ----------------------------------------------------------------------------------------

    async def now(self, payment: Payment) -> Payment:
        return await self.engine.load(payment.id)

    async def last_attempt(self, payment: Payment) -> Attempt:
        return [a for a in (await self.now(payment)).attempts if a.incoming][-1]

    def faults(self, *once: dict[str, Any], **rates: float) -> None:
        self.sandbox.faults.replace({"rates": rates, "once": list(once)})

    def kept_in_books(self, payment: Payment) -> int:
        """Fen that the channel holds for this payment: paid less refunded, over all its numbers."""
        rows = [row for row in self.sandbox.books() if row.number.startswith(payment.id)]
        return sum(row.paid - row.refunded for row in rows)

    def refunds_in_books(self, payment: Payment) -> list[int]:
        rows = [row for row in self.sandbox.books() if row.number.startswith(payment.id)]
        return [r.amount for row in rows for r in row.refunds]

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


@asynccontextmanager
async def open_town(database_url: str, keys: KeyFile, **settings: Any) -> AsyncIterator[Town]:
    """Sandbox, shop and centre on loopback. ``settings``: more of them, as in ``Config``."""
    shop = Shop()
    async with new_sandbox(keys) as sandbox, shop.open():
        listener, port = _listen()
        config = Config(
            database_url=database_url,
            public_url=f"http://127.0.0.1:{port}",
            master_key=base64.b64encode(b"k" * 32).decode(),
            **settings,
        )
        centre = await assemble(config, clock=SandboxClock(sandbox), dice=SystemDice())
        centre.engine.hand_over = centre.deliverer.hand_over
        server = make_server(centre.app, listener=listener)
        serving = asyncio.create_task(server.serve())
        try:
            app, key = await admin.create_app(centre.engine, "shop", "A shop")
            app = await admin.set_policies(centre.engine, app, private_networks=("127.0.0.0/8",))
            _, shop.secret = await admin.add_endpoint(centre.engine, app, shop.url)
            await _add_accounts(centre.engine, sandbox)
            yield Town(sandbox, centre, shop, app, key, config=config)
        finally:
            server.should_exit = True
            await serving
            await centre.stop(1.0)


ACCOUNTS: Final = {"wx": "wechat", "ali": "alipay", "up": "unionpay"}


async def _add_accounts(engine: Engine, sandbox: Sandbox) -> None:
    for account_id, channel in ACCOUNTS.items():
        await admin.add_account(engine, account_id, channel, **sandbox.config[channel]["account"])


def _listen() -> tuple[Any, int]:
    import socket

    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    return listener, listener.getsockname()[1]


async def api(town: Town, method: str, path: str, body: Any = None) -> tuple[int, Any]:
    """One call of the real HTTP API."""
    url = town.engine.settings.public_url + path
    async with (
        aiohttp.ClientSession(headers={"Authorization": f"Bearer {town.key}"}) as session,
        session.request(method, url, json=body) as answer,
    ):
        return answer.status, await answer.json()
