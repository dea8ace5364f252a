"""Both clients behind one face, and a wire to the centre on which answers are lost."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final, Literal

from oncepay.client import Around, AsyncClient, Client, Limits
from tests.wire.loopback import read_request, serving

AT_ONCE: Final = Around(sleep=lambda _: None, sleep_async=lambda _: asyncio.sleep(0), draw=lambda: 0.0)
PATIENT: Final = Limits(total_s=20, try_s=10)


def ticking() -> Around:
    """A clock that is a second later at each look: tries are many seconds long for whoever is slow, and few."""
    seconds = itertools.count(1000.0)
    return Around(clock=lambda: next(seconds), sleep=AT_ONCE.sleep, sleep_async=AT_ONCE.sleep_async, draw=AT_ONCE.draw)


Kind = Literal["threads", "asyncio"]
KINDS: Final[tuple[Kind, ...]] = ("threads", "asyncio")


class Talker:
    """One of the two clients; a call is written once: ``await talker.ask(lambda c: c.payments.get(id))``."""

    def __init__(self, client: Client | AsyncClient) -> None:
        self.client = client

    async def ask(self, call: Callable[[Any], Any]) -> Any:
        """What it answers."""
        if isinstance(self.client, Client):
            return await asyncio.to_thread(call, self.client)
        return await call(self.client)

    async def every(self, walk: Callable[[Any], Any]) -> list[Any]:
        """All that an iterator gives."""
        if isinstance(self.client, Client):
            return await asyncio.to_thread(lambda: list(walk(self.client)))
        return [one async for one in walk(self.client)]


@asynccontextmanager
async def talking(
    kind: Kind, url: str, key: str, *, limits: Limits = PATIENT, around: Around = AT_ONCE
) -> AsyncIterator[Talker]:
    """A talker of that kind. Its pauses take no time."""
    if kind == "threads":
        with Client(url, key, limits=limits, around=around) as client:
            yield Talker(client)
    else:
        async with AsyncClient(url, key, limits=limits, around=around) as async_client:
            yield Talker(async_client)


class Wire:
    """What happens on the way: ``next`` holds what becomes of the coming requests, one word each; then all go through.

    ``through``; ``before``: the connection breaks before the centre hears of it; ``after``: it breaks when the centre has
    done it; ``502``: a proxy says so when the centre has done it; ``cut``: half of the answer comes; ``silent``: nothing
    comes.
    """

    def __init__(self, url: str) -> None:
        _, _, port = url.rpartition(":")
        self._port = int(port)
        self.next: list[str] = []
        self.seen: list[str] = []
        self.url = ""

    async def talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            first, headers, body = await read_request(reader)
            self.seen.append(first.rpartition(" ")[0])
            fate = self.next.pop(0) if self.next else "through"
            if fate == "before":
                return
            answer = await self._ask(first, headers, body)
            if fate == "after":
                return
            if fate == "silent":
                await asyncio.sleep(60)
            if fate == "502":
                answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-type: text/html\r\ncontent-length: 3\r\n\r\n<p>"
            writer.write(answer[: -(len(answer) // 4)] if fate == "cut" else answer)
            await writer.drain()
            if fate == "cut":
                return

    async def _ask(self, first: str, headers: dict[str, str], body: bytes) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        lines = [first, *(f"{name}: {value}" for name, value in (headers | {"connection": "close"}).items()), "", ""]
        writer.write("\r\n".join(lines).encode() + body)
        answer = await reader.read()
        writer.close()
        return answer.replace(b"connection: close\r\n", b"")


@asynccontextmanager
async def wired(url: str) -> AsyncIterator[Wire]:
    """A wire to the centre at ``url``."""
    wire = Wire(url)
    async with serving(wire.talk) as port:
        wire.url = f"http://127.0.0.1:{port}"
        yield wire
