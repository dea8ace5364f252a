"""The delivery pool against servers of every manner: keeping, closing, dripping, silent, absent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from oncepay.sandbox.post import Poster

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def server(talk: Talk) -> AsyncIterator[tuple[str, list[int]]]:
    """A server that reads one request at a time and lets ``talk`` answer; counts connections."""
    connections: list[int] = []

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(1)
        try:
            while not writer.is_closing():
                await reader.readuntil(b"\r\n\r\n")
                await reader.readexactly(4)
                await talk(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    listening = await asyncio.start_server(accept, "127.0.0.1", 0)
    port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield f"http://127.0.0.1:{port}/notify", connections


def says(data: bytes, *, then_close: bool = False) -> Talk:
    async def talk(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(data)
        await writer.drain()
        if then_close:
            writer.close()

    return talk


async def post(poster: Poster, url: str, answer_s: float = 5.0) -> int | None:
    answer = await poster.ask(url, {"Content-Type": "application/json"}, b"body", answer_s)
    return None if answer is None else answer[0]


@pytest.mark.parametrize(
    ("data", "close", "statuses", "connections"),
    [
        (b"HTTP/1.1 204 No Content\r\n\r\n", False, [204, 204, 204], 1),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", False, [200, 200], 1),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", False, [200, 200], 1),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n", True, [200, 200], 2),
        (b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n", True, [500, 500], 2),  # closes without saying so
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", True, [200, 200], 2),
        (b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n\r\n", False, [302], 1),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", False, [200], 1),
        (b"this is not HTTP\r\n\r\n", False, [None], 1),
        (b"", True, [None], 1),
    ],
)
async def test_what_servers_answer(data: bytes, close: bool, statuses: list[int | None], connections: int) -> None:
    poster = Poster()
    async with server(says(data, then_close=close)) as (url, seen):
        assert [await post(poster, url) for _ in statuses] == statuses
        assert len(seen) == connections
        poster.close()


async def test_silence_is_no_answer() -> None:
    poster = Poster()
    async with server(says(b"HTTP/1.1 200 OK\r\n")) as (url, _):
        assert await post(poster, url, 0.05) is None
        poster.close()


@pytest.mark.parametrize("url", ["http://127.0.0.1:1/x", "nothing", "http://[::1/x", "http://例子.cn/", "http:///x"])
async def test_an_address_that_leads_nowhere(url: str) -> None:
    assert await post(Poster(), url) is None


async def test_many_at_once() -> None:
    poster = Poster()
    async with server(says(b"HTTP/1.1 204 No Content\r\n\r\n")) as (url, seen):
        assert set(await asyncio.gather(*[post(poster, url) for _ in range(300)])) == {204}
        assert len(seen) <= 256
        poster.close()
