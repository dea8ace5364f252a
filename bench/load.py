"""The load: apps create payments, payers pay, webhooks arrive; counted and timed from outside."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import dataclass, field

from bench.http1 import Client, Sink
from bench.places import Town, cpu_s, rss_mb

TOLD_WITHIN_S = 60.0
ATTEMPTS = {  # one way to pay a channel, each with a call: a code to scan
    "wechat": {"channel": "wechat", "method": "native"},
    "alipay": {"channel": "alipay", "method": "precreate"},
    "unionpay": {"channel": "unionpay", "method": "qr"},
}


@dataclass
class Shop:
    """Hears the webhooks."""

    told: dict[str, asyncio.Future[float]] = field(default_factory=dict)
    port: int = 0
    repeats: int = 0

    async def open(self) -> None:
        """Listen on a free port."""
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: Sink(self._heard), "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._server = server

    def _heard(self, body: bytes) -> None:
        data = json.loads(body)["data"]
        future = self.told.get(data["id"])
        if future is not None and data["status"] == "paid":
            if future.done():
                self.repeats += 1
            else:
                future.set_result(time.perf_counter())


@dataclass
class Run:
    """One run: how many, how fast, and how many are left unpaid."""

    name: str
    payments: int
    rate: float = 0.0  # a second; 0: as fast as ``in_flight`` allows
    in_flight: int = 200
    abandoned: float = 0.0
    linger_s: float = 0.0  # after the last one, so that what comes of abandoned ones is counted
    channel: str = "wechat"
    times: int = 1  # how often: the run whose CPU is in the middle counts


class Driver:
    """Plays runs against a town."""

    def __init__(self, town: Town, shop: Shop) -> None:
        self._town = town
        self._shop = shop
        self._centre = Client("127.0.0.1", town.centre_port, {"Authorization": f"Bearer {town.key}"})
        self._sandbox = Client("127.0.0.1", town.sandbox_port)
        self._created: list[float] = []
        self._told: list[float] = []
        self._failed: list[str] = []

    async def play(self, run: Run, turn: int = 0) -> dict[str, float]:
        """The run's figures; milliseconds, MB."""
        self._created, self._told, self._failed = [], [], []
        measured = self._town.measured()
        cpu, started, rss = cpu_s(measured), time.perf_counter(), 0.0
        room = asyncio.Semaphore(run.in_flight if not run.rate else 100_000)
        tasks = []

        async def one(index: int) -> None:
            try:
                abandon = (index * run.abandoned) % 1 + run.abandoned >= 1
                await self._pay(f"{run.name}-{turn}-{index}", run.channel, abandon=abandon)
            except (ConnectionError, TimeoutError, KeyError, ValueError) as error:
                self._failed.append(f"{type(error).__name__}: {error}"[:200])
            finally:
                room.release()

        for index in range(run.payments):
            if run.rate:
                wait = started + index / run.rate - time.perf_counter()
                if wait > 0.001:
                    await asyncio.sleep(wait)
            await room.acquire()
            tasks.append(asyncio.create_task(one(index)))
            if index % 512 == 0:
                rss = max(rss, rss_mb(self._town.centre.processes()))
        await asyncio.gather(*tasks)
        took = time.perf_counter() - started
        await asyncio.sleep(run.linger_s)
        used = cpu_s(self._town.measured()) - cpu
        rss = max(rss, rss_mb(self._town.centre.processes()))
        if self._failed:
            print(f"  {len(self._failed)} failed, the first: {self._failed[0]}")
        self._shop.told.clear()
        return {
            "payments": run.payments,
            "failed": len(self._failed),
            "payments_per_s": round(run.payments / took, 1),
            "cpu_ms_per_payment": round(used * 1000 / run.payments, 3),
            "create_p50_ms": quantile(self._created, 0.5),
            "create_p99_ms": quantile(self._created, 0.99),
            "told_p50_ms": quantile(self._told, 0.5),
            "told_p99_ms": quantile(self._told, 0.99),
            "rss_mb": round(rss, 1),
        }

    async def _pay(self, order_no: str, channel: str, *, abandon: bool) -> None:
        body = {
            "order_no": order_no,
            "amount": {"minor": 8800, "currency": "CNY"},
            "subject": "Tea",
            "deadline_ms": time.time_ns() // 1_000_000 + 3_600_000,
            "attempt": ATTEMPTS[channel],
        }
        started = time.perf_counter()
        status, answer = await self._centre.post("/v1/payments", json.dumps(body).encode())
        if status != 201:
            raise ValueError(f"{status} {answer[:120]!r}")
        self._created.append(time.perf_counter() - started)
        if abandon:
            return
        payment = json.loads(answer)
        told: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self._shop.told[payment["id"]] = told
        number = payment["attempt"]["id"].removeprefix("att_")
        paid = time.perf_counter()
        status, answer = await self._sandbox.post(
            "/sandbox/pay", json.dumps({"number": number, "channel": channel}).encode()
        )
        if status >= 300:
            raise ValueError(f"sandbox: {status} {answer[:120]!r}")
        self._told.append(await asyncio.wait_for(told, TOLD_WITHIN_S) - paid)


def quantile(values: list[float], q: float) -> float:
    """In milliseconds."""
    if not values:
        return 0.0
    values = sorted(values)
    return round(values[min(int(len(values) * q), len(values) - 1)] * 1000, 2)
