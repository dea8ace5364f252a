"""The stage of a drill: the demonstration's world with more of everything. Two ``serve``, two ``work``, PostgreSQL on a
small disk, Valkey, RabbitMQ, the sandbox and a shop, and our own proxies in the paths between them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aio_pika
import aiohttp

from oncepay.assembly import assemble
from oncepay.cli.accounts import of_sandbox
from oncepay.cli.demo.world import CHANNELS, World
from oncepay.config import from_env
from oncepay.engine import admin
from oncepay.testing.servers import free_port, url_of
from oncepay.testing.services import Service, has_rabbitmq, rabbitmq, valkey
from tests.drill.members import Database, Member
from tests.drill.proxy import Proxy

ANSWER_S: Final = 45.0
QUEUE: Final = "drill"


class Stage(World):
    """Enter it to start everything, leave it to stop everything. home: an empty folder."""

    def __init__(self, home: Path) -> None:
        super().__init__(home, None)
        self.database = Database()
        self.valkey: Service = valkey()
        self.rabbit: Service | None = rabbitmq() if has_rabbitmq() else None
        self.serves = [free_port(), free_port()]
        self.front = Proxy(self.serves)
        self._sandbox_port = int(self.sandbox_url.rpartition(":")[2])
        self.to_channel = Proxy([self._sandbox_port])
        self.to_database = Proxy([])
        self.members: dict[str, Member] = {}
        self._moving = asyncio.Lock()
        self._faults: tuple[str, Any] = ("DELETE", None)

    async def __aenter__(self) -> Self:
        kept = aiohttp.TCPConnector(keepalive_timeout=4, limit=200)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30), connector=kept)
        try:
            await self._open()
        except BaseException:
            await self.__aexit__(None, None, None)
            raise
        return self

    async def _open(self) -> None:
        services = [self.database.start, self.valkey.start, *([self.rabbit.start] if self.rabbit else ())]
        await asyncio.gather(*(asyncio.to_thread(start) for start in services))
        await asyncio.to_thread(self.database.sql, "CREATE DATABASE oncepay")
        self.to_database = Proxy([self.database.port])
        for proxy in (self.front, self.to_channel, self.to_database):
            await proxy.open()
        self.centre_url = f"http://127.0.0.1:{self.front.port}"
        through = url_of(self.database.url, "oncepay").replace(f":{self.database.port}/", f":{self.to_database.port}/")
        self._settings = {
            "ONCEPAY_DATABASE_URL": through,
            "ONCEPAY_MASTER_KEY": base64.b64encode(b"k" * 32).decode(),
            "ONCEPAY_PUBLIC_URL": self.centre_url,
            "ONCEPAY_REDIS_URL": self.valkey.url,
            "ONCEPAY_LEASE_S": "30",
            "ONCEPAY_LOG_LEVEL": "WARNING",
        }
        sandbox = ["sandbox", "--listen", f"127.0.0.1:{self._sandbox_port}", "--home", str(self.home / "sandbox")]
        self._add("sandbox", sandbox)
        for number, port in enumerate(self.serves, 1):
            self._add(f"serve-{number}", ["serve", "--listen", f"127.0.0.1:{port}"])
            self._add(f"work-{number}", ["work"])
        self.members["sandbox"].start()
        await self._answer(f"{self.sandbox_url}/sandbox/clock")
        await self._set_up()
        await self.shop.open()
        for member in self.centre_members():
            member.start()
        for port in self.serves:
            await self._answer(f"http://127.0.0.1:{port}/readyz")

    def _add(self, name: str, arguments: list[str]) -> None:
        self.members[name] = Member(name, arguments, self.home, self._settings)

    def centre_members(self) -> list[Member]:
        """The processes of the centre itself."""
        return [member for name, member in self.members.items() if name != "sandbox"]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(asyncio.to_thread(member.stop) for member in self.members.values()))
        await self.shop.close()
        await asyncio.gather(*(proxy.close() for proxy in (self.front, self.to_channel, self.to_database)))
        if self._session is not None:
            await self._session.close()
        for service in (self.rabbit, self.valkey, self.database):
            if service is not None:
                with contextlib.suppress(OSError):
                    await asyncio.to_thread(service.close)

    async def _answer(self, url: str) -> None:
        async with asyncio.timeout(ANSWER_S):
            while True:
                with contextlib.suppress(aiohttp.ClientError, TimeoutError):
                    async with self.session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def _set_up(self) -> None:
        """An app, where it hears (a webhook and a queue), and an account at each channel, by way of our proxies."""
        centre = await assemble(from_env(self._settings))
        try:
            engine = centre.engine
            app, key = await admin.create_app(engine, "shop", "Tea and no coffee")
            app = await admin.set_policies(engine, app, private_networks=["127.0.0.0/8"])
            _, secret = await admin.add_endpoint(engine, app, f"{self.shop.url}/webhook")
            if self.rabbit is not None:
                async with await aio_pika.connect(self.rabbit.url) as link, link.channel() as channel:
                    await channel.declare_queue(QUEUE, durable=True)
                await admin.add_endpoint(engine, app, f"{self.rabbit.url}/?queue={QUEUE}")
            for name in CHANNELS:
                given = of_sandbox(self.home / "sandbox" / "sandbox.json", name)
                through = json.dumps(given).replace(
                    f"127.0.0.1:{self._sandbox_port}", f"127.0.0.1:{self.to_channel.port}"
                )
                await admin.add_account(engine, f"{name}-sandbox", name, **json.loads(through))
            self.shop.join(self.centre_url, key, secret)
        finally:
            await centre.stop(0)

    # -- time and the sandbox, which may be away ------------------------------------------------------------------

    async def advance(self, seconds: float) -> None:
        """Let time pass, for all of them. A sandbox that was killed has forgotten how late it was, and is told again."""
        async with self._moving:
            target_s = self.time.get() / 1000 + seconds
            told = await self.control("POST", "clock", {"advance_s": 0})
            told = await self.control("POST", "clock", {"advance_s": max(0.0, target_s - told["offset_s"])})
            self.time.set(round(told["offset_s"] * 1000))

    async def control(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        """As of the world; asked again while the sandbox is killed or stopped."""
        if what == "faults" and method != "GET":
            self._faults = (method, body)
        for _ in range(200):
            try:
                return await super().control(method, what, body)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                await asyncio.sleep(0.2)
        return await super().control(method, what, body)

    async def sandbox_is_back(self) -> None:
        """After it was killed: its faults, which it has forgotten; and its time."""
        method, body = self._faults
        await self._answer(f"{self.sandbox_url}/sandbox/clock")
        await self.control(method, "faults", body)
        await self.advance(0)

    # -- what is seen of it ---------------------------------------------------------------------------------------

    def said(self, name: str) -> Iterator[str]:
        """All lines of a member's log."""
        with self.members[name].log.open(encoding="utf-8", errors="replace") as lines:
            yield from lines

    async def operator(self, *arguments: str) -> tuple[int, str]:
        """A command as an operator would type it, on the database itself, with the time of all: its code and words."""
        direct = {**self._settings, "ONCEPAY_DATABASE_URL": url_of(self.database.url, "oncepay")}
        command = Member("operator", arguments, self.home, direct)
        command.log.unlink(missing_ok=True)
        command.start()
        assert command._child is not None
        code = await asyncio.to_thread(command._child.wait)
        return code, command.log.read_text(encoding="utf-8", errors="replace")

    async def told_by_queue(self) -> dict[str, set[int]]:
        """The versions of each payment that ever lay in the queue; empties it."""
        found: dict[str, set[int]] = {}
        if self.rabbit is None:
            return found
        async with await aio_pika.connect(self.rabbit.url) as link, link.channel() as channel:
            queue = await channel.get_queue(QUEUE)
            while (message := await queue.get(fail=False, no_ack=True)) is not None:
                data = json.loads(message.body)["data"]
                found.setdefault(data["id"], set()).add(data["version"])
        return found
