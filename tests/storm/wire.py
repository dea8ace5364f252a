"""What lies between the centre and a shop: a bad line to its webhook, or to the queue that it reads."""

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
    centre that it did. ``queue_url``: tell them to this stream, else to the shop's webhook."""

    def __init__(self, seed: int, queue_url: str) -> None:
        self.seen: Counter[str] = Counter()
        self.shop_url = ""
        self._queue_url = queue_url
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
        """Whether whom it is told has it."""
        answer = await (self._publish(news) if self._queue_url else self._post(news))
        self.seen[answer] += 1
        return answer in {"published", "answered 204"}

    async def _post(self, news: News) -> str:
        headers, body = news
        try:
            async with self._session.post(f"{self.shop_url}/webhook", data=body, headers=headers) as answer:
                return f"answered {answer.status}"
        except (aiohttp.ClientError, TimeoutError):
            return "the shop was dead"

    async def _publish(self, news: News) -> str:
        fields: dict[Any, Any] = {**news[0], "body": news[1]}
        server, _, stream = self._queue_url.partition("?stream=")
        try:
            async with redis.asyncio.Redis.from_url(server, retry=Retry(NoBackoff(), 0)) as broker:
                await broker.xadd(stream, fields)
        except (redis.RedisError, OSError):
            return "the broker was dead"
        return "published"
