"""What lies between the centre and a shop: a bad line to its webhook, and somebody who meddles with its queue."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final

import aiohttp
import redis.asyncio
from aiohttp import web
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

News = tuple[dict[str, str], bytes]  # headers and body, as the centre signed them
WHIMS: Final = ("passed", "delayed", "doubled", "lost", "unanswered", "old")


class Wire:
    """Takes the centre's news and tells them on: late, twice, after newer ones, not at all, or without telling the
    centre that it did."""

    def __init__(self, seed: int) -> None:
        self.seen: Counter[str] = Counter()
        self.shop_url = ""
        self._dice = random.Random(f"{seed}:wire")
        self._late: set[asyncio.Task[Any]] = set()
        self.calm = False

    @contextlib.asynccontextmanager
    async def open(self) -> AsyncIterator[str]:
        """Its address."""
        app = web.Application()
        app.router.add_post("/webhook", self._pass)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as self._session:
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/webhook"
            await asyncio.gather(*self._late)
        await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        news = ({name: value for name, value in headers.items() if name.startswith("webhook-")}, await request.read())
        whim = "passed" if self.calm else self._dice.choice(WHIMS)
        self.seen[whim] += 1
        if whim == "lost":
            return web.Response(status=502)
        if whim == "delayed":
            await asyncio.sleep(self._dice.random())
        if whim == "old":  # once more, when newer ones were told
            self._later(news, 1 + self._dice.random())
        if whim == "doubled":
            self._later(news, 0)
        told = await self._tell(news)
        return web.Response(status=204 if told and whim != "unanswered" else 502)

    def _later(self, news: News, seconds: float) -> None:
        async def tell() -> None:
            await asyncio.sleep(seconds)
            await self._tell(news)

        task = asyncio.create_task(tell())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _tell(self, news: News) -> bool:
        """Whether the shop has it."""
        headers, body = news
        try:
            async with self._session.post(f"{self.shop_url}/webhook", data=body, headers=headers) as answer:
                self.seen[f"answered {answer.status}"] += 1
                return answer.status == 204
        except (aiohttp.ClientError, TimeoutError):
            self.seen["the shop was dead"] += 1
            return False


async def meddle(stream_url: str, seed: int, seen: Counter[str]) -> None:
    """Put old messages of a stream into it again, until cancelled."""
    dice = random.Random(f"{seed}:meddle")
    server, _, name = stream_url.partition("?stream=")
    async with redis.asyncio.Redis.from_url(server, retry=Retry(NoBackoff(), 0)) as broker:
        while True:
            await asyncio.sleep(0.05)
            with contextlib.suppress(redis.RedisError, OSError):
                entries: Any = await broker.xrange(name)
                if entries:
                    await broker.xadd(name, dice.choice(entries)[1])
                    seen["news told again"] += 1
