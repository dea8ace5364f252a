"""What the server lets in: bodies up to a cap, heads up to a size, and HTTP/1.1 as it is written."""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import socket
import weakref
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from oncepay.http.edge import Limits, make_server
from tests.wire.edge_clients import GET, PATIENT, POST, SOON_S, Client, Echo, serving

CAPS = [
    ("/v1/payments", 262_144, 200),
    ("/v1/payments", 262_145, 413),
    ("/notify/wechat/main", 65_536, 200),
    ("/notify/wechat/main", 65_537, 413),
    ("/%6Eotify/wechat/main", 65_537, 413),
    ("/notify", 65_537, 200),
]


@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_up_to_the_cap(chunked: bool) -> None:
    async def pieces(body: bytes) -> AsyncIterator[bytes]:
        for start in range(0, len(body), 10_000):
            yield body[start : start + 10_000]

    async with serving() as (server, echo), aiohttp.ClientSession() as session:
        for path, size, status in CAPS:
            body = bytes(size)
            url = f"http://127.0.0.1:{server.port}{path}"
            async with session.post(url, data=pieces(body) if chunked else body) as answer:
                said = await answer.read()
            assert answer.status == status
            assert said == body or json.loads(said)["status"] == 413
            assert [got for _, got in echo.seen] == ([body] if status == 200 else [])
            echo.seen.clear()


HEADS = [
    (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"a" * 20_000 + b"\r\n\r\n", 431),
    (b"GET /" + b"a" * 20_000 + b" HTTP/1.1\r\nhost: x\r\n\r\n", 431),
    (b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 101 + b"\r\n", 431),
    (b"GET / HTTP/1.1\r\nx: " + b"a" * 20_000, 431),
    (b"GET / HTTP/1.1\r\n" + b"x" * 20_000, 431),
    (b"GET /" + b"a" * 20_000, 431),
    (b"GARBAGE\r\n\r\n", 400),
    (b"\x16\x03\x01\x02\x00\x01\x00\x01", 400),
    (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    (b"CONNECT 10.0.0.1:22 HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (b"GET http:// HTTP/1.1\r\nhost: x\r\n\r\n", 400),
    (POST % 5 + b"hello" + b"\x00garbage", 200),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\nhello", 400),
    (b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\nxyz\r\n", 400),
    (b"GET / HTTP/1.1\nhost: x\n\n", 400),
    (b"GET / HTTP/1.1\r\nhost: x\r\n folded: y\r\n\r\n", 400),
]


async def test_malformed_and_oversized_heads() -> None:
    async with serving() as (server, echo):
        for said, status in HEADS:
            async with Client.to(server, said) as client:
                answered, headers, body = await client.answer()
                assert answered == status, said[:60]
                if status != 200:
                    assert (json.loads(body)["status"], headers["connection"]) == (status, "close")
                assert await client.cut_off_after_s() < SOON_S
            assert len(echo.seen) == (status == 200)
            echo.seen.clear()


async def test_framing_without_end_is_refused() -> None:
    """Chunks of one byte with long extensions: hardly any body, no end of bytes."""
    head = b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    chunk = b"1;" + b"a" * 10_000 + b"\r\nx\r\n"
    async with serving(PATIENT) as (server, echo), Client.to(server, head) as client:
        client.writer.write(chunk * 200)
        assert (await client.answer())[0] == 413
    assert echo.seen == []


async def test_trailers_do_not_become_headers() -> None:
    said = (
        b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\ntrailer: authorization\r\n\r\n"
        b"5\r\nhello\r\n0\r\nauthorization: Bearer x\r\n\r\n"
    )
    async with serving() as (server, echo), Client.to(server, said) as client:
        assert (await client.answer())[2] == b"hello"
    assert [name for name, _ in echo.headers[0]] == [b"host", b"transfer-encoding", b"trailer"]


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    said = GET + POST % 5 + b"hello" + GET + b"".join([POST % 3, b"a"])
    async with serving() as (server, echo), Client.to(server, said) as client:
        assert [(await client.answer())[2] for _ in range(3)] == [b"ok", b"hello", b"ok"]
        client.writer.write(b"bc" + GET)
        assert [(await client.answer())[2] for _ in range(2)] == [b"abc", b"ok"]
    assert len(echo.seen) == 5


async def test_only_so_many_requests_wait_behind_the_one_at_work() -> None:
    """Small ones in one piece: each that waits takes fifty times its size in memory, and the client need not read."""
    limits = Limits(ahead=5)
    async with serving(limits) as (server, echo), Client.to(server, GET.replace(b"/v1/payments", b"/wait")) as client:
        await asyncio.wait_for(echo.arrived.wait(), 5)
        client.writer.write((POST % 5 + b"hello") * 1_000)
        await _until(lambda: bool(server._connections()[0].pipeline))
        assert len(server._connections()[0].pipeline) == limits.ahead
        echo.go.set()
        answers = [await client.answer() for _ in range(1 + limits.ahead)]
        assert [body for _, _, body in answers] == [b"ok", *[b"hello"] * limits.ahead]
        assert ["connection" in headers for _, headers, _ in answers] == [False] * limits.ahead + [True]
        assert await client.cut_off_after_s() < 1
    assert len(echo.seen) == 1 + limits.ahead


WHOLE = b"POST /whole%b HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n%b\r\nhello"


@pytest.mark.parametrize("end", [b"", b"connection: close\r\n"])
async def test_an_answer_in_one_piece_is_the_one_that_comes_in_two(end: bytes) -> None:
    async with serving(PATIENT) as (server, echo), Client.to(server) as client:
        answers = []
        for said in (WHOLE % (b"", b""), POST % 5 + b"hello", WHOLE % (b"", end)):
            client.writer.write(said)
            status, headers, body = await client.answer()
            headers["date"] = ""
            answers.append((status, headers, body))
        if end:
            assert answers[-1][1].pop("connection") == "close"
            assert await client.cut_off_after_s() < SOON_S
        assert answers[0] == answers[1] == answers[2]
    assert echo.wholes == [True, True]


async def test_an_answer_in_one_piece_waits_for_what_is_not_taken_yet() -> None:
    async with serving(PATIENT) as (server, echo), Client.to(server, GET) as client:
        await client.answer()
        (connection,) = server.server_state.connections
        connection.pause_writing()  # as the transport does when the client does not take what was said before
        echo.arrived.clear()
        client.writer.write(WHOLE % (b"", b"") + GET)
        await asyncio.wait_for(echo.arrived.wait(), 5)
        assert echo.wholes == [False]
        connection.resume_writing()
        assert [(await client.answer())[2] for _ in range(2)] == [b"hello", b"ok"]


async def test_a_header_that_breaks_the_line_is_never_sent() -> None:
    for text in (b"?a%0D%0Aset-cookie:%20b=c", b"?a%0Ab", b"?a%0Db"):
        async with serving() as (server, _), Client.to(server, WHOLE % (text, b"")) as client:
            status, headers, _ = await client.answer()
        assert status == 500
        assert "x" not in headers


async def test_continue_is_said_before_the_body_and_not_to_one_that_is_too_large() -> None:
    for size, first in ((5, b"HTTP/1.1 100 Continue\r\n\r\n"), (300_000, b"HTTP/1.1 413 Content Too Large\r\n")):
        said = (POST % size).replace(b"\r\n\r\n", b"\r\nexpect: 100-continue\r\n\r\n")
        async with serving() as (server, _), Client.to(server, said) as client:
            assert await asyncio.wait_for(client.reader.readexactly(len(first)), 5) == first
            if size == 5:
                client.writer.write(b"hello")
                assert (await client.answer())[2] == b"hello"


@pytest.mark.parametrize(
    "framing", [b"content-length: 5\r\n\r\nhello", b"transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"]
)
@pytest.mark.parametrize("pieces", [1, 1000])
async def test_a_wish_for_http_2_does_not_lose_the_body(framing: bytes, pieces: int) -> None:
    """What Java's HttpClient sends first on a plain connection."""
    said = (
        b"POST /v1/payments HTTP/1.1\r\nConnection: Upgrade, HTTP2-Settings\r\nHost: x\r\n"
        b"HTTP2-Settings: AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA\r\nUpgrade: h2c\r\n" + framing + GET
    )
    async with serving() as (server, echo), Client.to(server) as client:
        if pieces == 1:
            client.writer.write(said)
        else:
            asyncio.get_running_loop().call_soon(client.writer.write, said[:-50])
            await asyncio.sleep(0.01)
            client.writer.write(said[-50:])
        assert [(await client.answer())[2] for _ in range(2)] == [b"hello", b"ok"]
    assert echo.seen == [("POST /v1/payments", b"hello"), ("GET /v1/payments", b"")]


async def test_a_client_that_is_gone_with_requests_sent_ahead_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    async with serving(PATIENT) as (server, echo):
        async with Client.to(server, GET.replace(b"/v1/payments", b"/wait") + GET):
            await asyncio.wait_for(echo.arrived.wait(), 5)
        await _until(lambda: not server.server_state.connections)
        echo.go.set()
        await asyncio.gather(*server.server_state.tasks)
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


async def test_what_a_gone_client_had_sent_is_not_kept_for_the_collector() -> None:
    """An unanswered request and its connection hold each other, and the collector comes seldom."""
    async with serving(PATIENT) as (server, _):
        async with Client.to(server, POST % 250_000 + bytes(200_000)) as client:
            await client.writer.drain()
            await _until(lambda: bool(server.server_state.connections))
            (connection,) = server._connections()
            await _until(lambda: connection.reading == "body" and len(connection.cycle.body) == 200_000)
        await _until(lambda: not server.server_state.connections)
        assert len(connection.cycle.body) == 0


@pytest.mark.parametrize("said", [GET, WHOLE % (b"", b"")], ids=["by ASGI", "in one piece"])
async def test_an_answered_request_leaves_nothing_for_the_collector(said: bytes) -> None:
    async with serving(PATIENT) as (server, _), Client.to(server, said) as client:
        await client.answer()
        gc.disable()
        try:
            (connection,) = server._connections()
            first = weakref.ref(connection.cycle)
            client.writer.write(said)
            await client.answer()
            await asyncio.sleep(0)
            assert first() is None
        finally:
            gc.enable()


async def _until(so: Callable[[], bool]) -> None:
    async with asyncio.timeout(SOON_S):
        while not so():  # noqa: ASYNC110 - the server says nothing of it
            await asyncio.sleep(0)


async def test_more_connections_than_allowed_are_not_kept() -> None:
    limits = Limits(connections=2, head_s=30)
    async with serving(limits) as (server, _), Client.to(server) as one, Client.to(server) as two:
        for client in (one, two):
            client.writer.write(GET)
            assert (await client.answer())[0] == 200
        async with Client.to(server, GET) as third:
            assert await third.cut_off_after_s() < SOON_S
        one.writer.write(GET)
        assert (await one.answer())[0] == 200


async def test_an_answer_names_its_date_and_not_the_server() -> None:
    async with serving() as (server, _), Client.to(server, GET) as client:
        _, headers, _ = await client.answer()
    assert "date" in headers
    assert "server" not in headers


def test_an_address_that_is_taken_is_an_error_at_once() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        with pytest.raises(OSError, match="in use"):
            make_server(Echo(), port=taken.getsockname()[1])  # type: ignore[arg-type]
        shared = make_server(Echo(), listener=taken)  # type: ignore[arg-type]
        assert shared.port == taken.getsockname()[1]
