"""The stage of a drill: two ``serve``, two ``work``, PostgreSQL on a small disk, Valkey, RabbitMQ, the sandbox and a
shop, each a process, and our own proxies in the paths between them."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import aio_pika
import aiohttp

from oncepay.assembly import assemble
from oncepay.cli.accounts import of_sandbox
from oncepay.cli.demo.clocked import Held
from oncepay.cli.demo.process import Broken
from oncepay.cli.demo.world import CHANNELS
from oncepay.cli.drill.members import Database, Member
from oncepay.cli.drill.office import Office
from oncepay.cli.drill.proxy import Proxy
from oncepay.config import from_env
from oncepay.engine import admin
from oncepay.testing.ports import free_port
from oncepay.testing.servers import url_of
from oncepay.testing.services import Service, has_rabbitmq, rabbitmq, valkey

ANSWER_S: Final = 45.0
QUEUE: Final = "drill"
OURS: Final = "oncepay.cli.drill.clocked"  # the command oncepay


class Stage:
    """Enter it to start everything, leave it to stop everything. home: an empty folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.time = Held(home / "time")  # how far all are ahead of the machine
        self.database = Database()
        self.valkey: Service = valkey()
        self.rabbit: Service | None = rabbitmq() if has_rabbitmq() else None
        self.serves = [free_port(), free_port()]
        self.front = Proxy(self.serves)
        self._sandbox_port = free_port()
        self.shop = Office(home, free_port())
        self.sandbox_url = f"http://127.0.0.1:{self._sandbox_port}"
        self.to_channel = Proxy([self._sandbox_port])
        self.to_database = Proxy([])
        self.members: dict[str, Member] = {}
        self._moving = asyncio.Lock()
        self._session: aiohttp.ClientSession | None = None
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
        centre_url = f"http://127.0.0.1:{self.front.port}"
        through = url_of(self.database.url, "oncepay").replace(f":{self.database.port}/", f":{self.to_database.port}/")
        self._settings = {
            "ONCEPAY_DATABASE_URL": through,
            "ONCEPAY_MASTER_KEY": base64.b64encode(b"k" * 32).decode(),
            "ONCEPAY_PUBLIC_URL": centre_url,
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
        self.shop.join(centre_url, *await self._set_up())
        await self.shop.make()
        self.members["shop"] = Member("shop", self.shop.serving, self.home, self.shop.settings)
        for member in (*self.centre_members(), self.members["shop"]):
            member.start()
        for url in (*(f"http://127.0.0.1:{port}/readyz" for port in self.serves), self.shop.url):
            await self._answer(url)

    def _add(self, name: str, arguments: list[str]) -> None:
        self.members[name] = Member(name, [OURS, *arguments], self.home, self._settings)

    def centre_members(self) -> list[Member]:
        """The processes of the centre itself."""
        return [member for name, member in self.members.items() if name not in {"sandbox", "shop"}]

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(asyncio.to_thread(member.stop) for member in self.members.values()))
        await asyncio.gather(*(proxy.close() for proxy in (self.front, self.to_channel, self.to_database)))
        await self.shop.close()
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
                    async with self._http.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(0.05)

    async def _set_up(self) -> tuple[str, str]:
        """An app, where it hears (a webhook and a queue), and an account at each channel, by way of our proxies. The
        app's key of the API and its secret of webhooks."""
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
            return key, secret
        finally:
            await centre.stop(0)

    # -- time and the sandbox, which may be away ------------------------------------------------------------------

    def now_ms(self) -> int:
        """What time it is on this stage."""
        return time.time_ns() // 1_000_000 + self.time.get()

    async def advance(self, seconds: float) -> None:
        """Let time pass, for all of them. A sandbox that was killed has forgotten how late it was: it is told."""
        async with self._moving:
            target_s = self.time.get() / 1000 + seconds
            told = await self.control("POST", "clock", {"advance_s": 0})
            told = await self.control("POST", "clock", {"advance_s": max(0.0, target_s - told["offset_s"])})
            self.time.set(round(told["offset_s"] * 1000))

    async def control(self, method: str, what: str, body: object = None) -> dict[str, Any]:
        """One call of the sandbox's controls, made again while that is away. Raises Broken when it refuses."""
        if what == "faults" and method != "GET":
            self._faults = (method, body)
        for _ in range(200):
            try:
                return await self._control(method, what, body)
            except (aiohttp.ClientError, TimeoutError, ValueError):
                await asyncio.sleep(0.2)
        return await self._control(method, what, body)

    async def _control(self, method: str, what: str, body: object) -> dict[str, Any]:
        data = None if body is None else json.dumps(body)
        async with self._http.request(method, f"{self.sandbox_url}/sandbox/{what}", data=data) as answer:
            told: dict[str, Any] = json.loads(await answer.read())
            if answer.status >= 400:
                raise Broken(f"the sandbox refuses {what}: {told.get('message')}")
            return told

    @property
    def _http(self) -> aiohttp.ClientSession:
        assert self._session is not None
        return self._session

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
        command = Member("operator", [OURS, *arguments], self.home, direct)
        command.log.unlink(missing_ok=True)
        command.start()
        code = await asyncio.to_thread(command.wait)
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
