"""The world of the demonstration: the sandbox and the centre as processes, the shop, and one time for all of them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import msgspec

from oncepay.cli.accounts import of_sandbox
from oncepay.cli.demo.clocked import Held
from oncepay.cli.demo.process import Broken, Process
from oncepay.cli.demo.shop import Shop
from oncepay.testing.ports import free_port

HOST: Final = "127.0.0.1"
CHANNELS: Final = ("alipay", "unionpay", "wechat")


class World:
    """Enter it to start everything, leave it to stop everything.

    home: an empty folder. port_base: the first of three ports, or None for free ones. silent: the channel never
    notifies, in no story.
    """

    def __init__(self, home: Path, port_base: int | None, *, silent: bool = False) -> None:
        self.home = home
        self.silent = silent
        self.time = Held(home / "time")  # how far the world is ahead of the machine
        ports = [port_base + n for n in range(3)] if port_base else _free_ports(3)
        self.sandbox_url = f"http://{HOST}:{ports[0]}"
        self.centre_url = f"http://{HOST}:{ports[1]}"
        self.sandbox = Process(
            ["oncepay", "sandbox", "--listen", f"{HOST}:{ports[0]}", "--home", str(home / "sandbox")],
            home / "sandbox.log",
            bound=True,
        )
        self._settings = {
            "ONCEPAY_DATABASE_URL": f"sqlite:///{(home / 'oncepay.db').resolve()}",
            "ONCEPAY_MASTER_KEY_FILE": str(home / "master.key"),
            "ONCEPAY_LISTEN": f"{HOST}:{ports[1]}",
        }
        self.centre = Process(
            ["oncepay", "serve", "--clock-from", self.sandbox_url], home / "centre.log", self._settings, bound=True
        )
        self.shop = Shop(home, ports[2])
        self._session: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        # Shorter than the sandbox keeps an idle connection: else a request meets one that is just being closed.
        kept = aiohttp.TCPConnector(keepalive_timeout=4)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), connector=kept)
        try:
            self.sandbox.start()
            await self.sandbox.answers(self.session, f"{self.sandbox_url}/sandbox/clock")
            await self._no_faults()
            await self._set_up()
            self.centre.start()
            await self.shop.open()
            await self.centre.answers(self.session, f"{self.centre_url}/readyz")
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self.centre.stop(), self.shop.close())
        await self.sandbox.stop()
        if self._session is not None:
            await self._session.close()

    async def _set_up(self) -> None:
        """What an operator does once: a master key, an app, where it hears, a merchant account."""
        from oncepay.assembly import assemble
        from oncepay.config import from_env
        from oncepay.engine import admin

        key = self.home / "master.key"
        with os.fdopen(os.open(key, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            file.write(base64.b64encode(secrets.token_bytes(32)))
        centre = await assemble(from_env(self._settings))
        try:
            engine = centre.engine
            app, shop_key = await admin.create_app(engine, "shop", "Tea and no coffee")
            app = await admin.set_policies(engine, app, private_networks=[f"{HOST}/32"])
            _, secret = await admin.add_endpoint(engine, app, f"{self.shop.url}/webhook")
            self.shop.join(self.centre_url, shop_key, secret)
            for channel in CHANNELS:
                given = of_sandbox(self.home / "sandbox" / "sandbox.json", channel)
                await admin.add_account(engine, f"{channel}-sandbox", channel, **given)
        finally:
            await centre.stop(0)

    async def start_centre(self) -> None:
        """Start the centre, or start it again; until it answers."""
        self.centre.start()
        await self.centre.answers(self.session, f"{self.centre_url}/readyz")

    async def command(self, *arguments: str) -> str:
        """What an operator's command says. Raises Broken when it fails."""
        command = Process(["oncepay", *arguments], self.home / "commands.log", self._settings)
        code, said = await command.run()
        if code:
            raise Broken(f"oncepay {arguments[0]} ended with {code}: {said}")
        return said

    @property
    def session(self) -> aiohttp.ClientSession:
        """For calls that nobody in particular makes."""
        assert self._session is not None
        return self._session

    # -- time ----------------------------------------------------------------------------------------------------

    def now_ms(self) -> int:
        """What time it is in this world."""
        return time.time_ns() // 1_000_000 + self.time.get()

    async def advance(self, seconds: float) -> None:
        """Let time pass, for all of them."""
        told = await self.control("POST", "clock", {"advance_s": seconds})
        self.time.set(round(told["offset_s"] * 1000))

    # -- the sandbox ---------------------------------------------------------------------------------------------

    async def control(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        """One call of the sandbox's controls. Raises Broken when it refuses."""
        data = None if body is None else msgspec.json.encode(body)
        async with self.session.request(method, f"{self.sandbox_url}/sandbox/{what}", data=data) as answer:
            told: dict[str, Any] = msgspec.json.decode(await answer.read())
            if answer.status >= 400:
                raise Broken(f"the sandbox refuses {what}: {told.get('message')}")
            return told

    async def rows(self, payment_id: str) -> list[dict[str, Any]]:
        """The sandbox's orders of a payment."""
        books = await self.control("GET", "books")
        return [row for row in books["orders"] if row["number"].startswith(payment_id.removeprefix("pay_"))]

    @contextlib.asynccontextmanager
    async def faults(self, **wanted: Any) -> AsyncIterator[None]:
        """Faults in force for a while: ``once=[...]``, ``on={...}``."""
        await self.control("POST", "faults", wanted)
        try:
            yield
        finally:
            await self._no_faults()

    async def _no_faults(self) -> None:
        await self.control("DELETE", "faults")
        if self.silent:
            await self.control("POST", "faults", {"on": {"notify_none": True}})


def _free_ports(count: int) -> list[int]:
    """Different ones, that nobody else is given before our programs listen."""
    found: set[int] = set()
    while len(found) < count:
        found.add(free_port())
    return list(found)
