"""The cash desk is a channel, and a payment goes through it."""

from __future__ import annotations

import asyncio
import base64
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Self

import aiohttp
from cashdesk import CashDesk
from desk_kit import DeskKit, merchant
from desk_vendor import SHOP, Desk

from oncepay.assembly import assemble
from oncepay.config import Config
from oncepay.engine import admin
from oncepay.http.edge import make_server
from oncepay.testing import exercise_channel


def test_it_is_a_channel() -> None:
    exercise_channel(CashDesk, DeskKit())


class App:
    """A business app with its key to a centre that has the cash desk."""

    def __init__(self, url: str, key: str, desk: Desk) -> None:
        self.url, self.desk = url, desk
        self.session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {key}"})

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.session.close()

    async def ask(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        async with self.session.request(method, f"{self.url}/v1/{path}", json=body) as answer:
            told: dict[str, Any] = await answer.json()
            assert answer.status < 300, told
            return told

    async def pay(self, order_no: str, method: str) -> dict[str, Any]:
        """A payment with its first attempt."""
        attempt = {"channel": "cashdesk", "method": method}
        amount = {"minor": 8800, "currency": "CNY"}
        order = {"order_no": order_no, "amount": amount, "subject": "Green tea", "attempt": attempt}
        return await self.ask("POST", "payments", order)


@asynccontextmanager
async def opened(folder: Path) -> AsyncIterator[App]:
    """The desk, a centre on SQLite that found the channel by its entry point, and an app."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        master_key = base64.b64encode(b"k" * 32).decode()
        config = Config(database_url=f"sqlite:///{folder}/test.db", public_url=url, master_key=master_key)
        centre = await assemble(config)
        server = make_server(centre.app, listener=listener)
        serving = asyncio.create_task(server.serve())
        try:
            _, key = await admin.create_app(centre.engine, "app", "An app")
            async with Desk() as desk, App(url, key, desk) as app:
                account = merchant(SHOP, desk.url)
                given = {"identity": account.identity, "settings": account.settings, "secrets": account.secrets}
                await admin.add_account(centre.engine, "desk", "cashdesk", **given)
                centre.start()
                yield app
        finally:
            server.should_exit = True
            await serving
            await centre.stop(1)


async def pays_and_gets_back(folder: Path) -> None:
    async with opened(folder) as app:
        payment = await app.pay("A-1", "counter")
        number = payment["attempt"]["id"].removeprefix("att_")
        assert payment["attempt"]["credential"] == {"type": "code", "code": "0000"}
        assert await app.desk.pay(number) == 200
        paid = await app.ask("GET", f"payments/{payment['id']}")
        assert (paid["status"], paid["kept_minor"], paid["paid"]["trade_no"]) == ("paid", 8800, f"R-{number}")

        await app.ask("POST", f"payments/{payment['id']}/refunds", {"refund_no": "A-1-1", "minor": 800})
        after = await app.ask("GET", f"payments/{payment['id']}?fresh=true")  # or in a moment, by itself
        assert ([refund["status"] for refund in after["refunds"]], after["kept_minor"]) == (["done"], 8000)
        (back,) = app.desk.backs.values()
        assert (back["order"], back["minor"]) == (number, 800)


async def switches_from_slip_to_counter(folder: Path) -> None:
    async with opened(folder) as app:
        slip = await app.pay("A-2", "slip")
        assert slip["attempt"]["credential"]["type"] == "slip"
        assert app.desk.orders == {}  # a slip is made without asking the desk
        body = {"channel": "cashdesk", "method": "counter"}
        counter = await app.ask("POST", f"payments/{slip['id']}/attempts", body)
        assert await app.desk.pay(counter["attempt"]["id"].removeprefix("att_")) == 200
        assert (await app.ask("GET", f"payments/{slip['id']}"))["status"] == "paid"


def test_a_payment_and_a_refund(tmp_path: Path) -> None:
    asyncio.run(pays_and_gets_back(tmp_path))


def test_another_way_to_pay(tmp_path: Path) -> None:
    asyncio.run(switches_from_slip_to_counter(tmp_path))
