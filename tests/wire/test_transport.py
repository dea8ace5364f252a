"""What becomes of a call to a channel, for each thing that a network can do to it: not sent, unknown, or answered."""

from __future__ import annotations

import asyncio
import gzip
import socket
import ssl
import struct
import zlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from oncepay.ports import Answer, Answered, NotSent, Request, Transport, Unknown
from oncepay.transport import ANSWER_BYTES_MAX, HttpTransport
from tests.wire.loopback import Certificates, Names, Talk, answer, closed_port, read_request, saying, serving

HELLO = answer(200, b'{"code_url":"weixin://wxpay"}', "Content-Type: application/json")


@asynccontextmanager
async def transport(
    tls: ssl.SSLContext | None = None, resolver: Names | None = None, connections: int = 10
) -> AsyncIterator[Transport]:
    one = HttpTransport(tls=tls, resolve=(resolver or Names()).resolve, connections=connections)
    try:
        yield one
    finally:
        await one.close()


def post(port: int, url: str = "http://127.0.0.1:{}/v3/pay/transactions/native") -> Request:
    return Request(
        method="POST", url=url.format(port), headers=(("Content-Type", "application/json"),), body=b'{"amount":1}'
    )


async def outcome_of(talk: Talk, request: Callable[[int], Request] = post, deadline_s: float = 5.0) -> Answer:
    async with serving(talk) as port, transport() as network:
        return await network.send(request(port), deadline_s)


def reset(writer: asyncio.StreamWriter) -> None:
    """Close with a RST."""
    raw = writer.get_extra_info("socket")
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


# -- answered ------------------------------------------------------------------------------------------------------


async def test_a_request_goes_out_to_the_byte_and_the_answer_comes_back_whole() -> None:
    heard: list[bytes] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.readuntil('"水"}'.encode()))
        writer.write(answer(404, b"\xff\x00raw", "X-One: 1", "X-Two: a", "x-two: b"))

    def request(port: int) -> Request:
        return Request(
            method="POST",
            url=f"http://127.0.0.1:{port}/v3/a%2Fb?mchid=190%30&x=%E6%B0%B4+y",
            headers=(("Authorization", "WECHATPAY2-SHA256-RSA2048 mchid=1"), ("Accept", "application/json")),
            body='{"a":"水"}'.encode(),
        )

    said = await outcome_of(talk, request)
    first, *lines = heard[0].split(b"\r\n\r\n")[0].split(b"\r\n")
    assert first == b"POST /v3/a%2Fb?mchid=190%30&x=%E6%B0%B4+y HTTP/1.1"  # what was signed is what is sent
    assert [line.split(b":")[0] for line in lines] == [b"Host", b"Authorization", b"Accept", b"Content-Length"]
    assert said == Answered(
        status=404, headers={"content-length": "5", "x-one": "1", "x-two": "a, b"}, body=b"\xff\x00raw"
    )


@pytest.mark.parametrize("status", [200, 204, 301, 302, 307, 400, 401, 500, 502])
async def test_any_whole_answer_is_an_answer(status: int) -> None:
    """Redirects too: they are not followed."""
    said = await outcome_of(saying(answer(status, b"" if status == 204 else b"x", "location: http://127.0.0.1:1/")))
    assert isinstance(said, Answered)
    assert said.status == status


@pytest.mark.parametrize(
    ("word", "squeeze"), [("gzip", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)]
)
async def test_a_content_encoding_is_undone(word: str, squeeze: Callable[[bytes], bytes]) -> None:
    said = await outcome_of(saying(answer(200, squeeze(b"bill" * 1000), f"content-encoding: {word}")))
    assert isinstance(said, Answered)
    assert said.body == b"bill" * 1000


async def test_connections_are_used_again() -> None:
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await saying(HELLO)(reader, writer)

    async with serving(talk) as port, transport() as network:
        for _ in range(5):
            assert isinstance(await network.send(post(port), 5), Answered)
    assert connections == 1


async def test_a_good_certificate_is_taken(certificates: Certificates) -> None:
    names = Names(api_test=[["127.0.0.1"]])
    async with (
        serving(saying(HELLO), certificates.server("api.test")) as port,
        transport(certificates.client(), names) as network,
    ):
        assert isinstance(await network.send(post(port, "https://api.test:{}/"), 5), Answered)


# -- not sent: nothing of the request left -------------------------------------------------------------------------


async def test_refused() -> None:
    async with transport() as network:
        said = await network.send(post(closed_port()), 5)
    assert isinstance(said, NotSent)
    assert said.why.startswith("no connection: ")


async def test_no_such_name() -> None:
    async with transport(resolver=Names()) as network:
        assert await network.send(post(1, "http://api.test:{}/"), 5) == NotSent(why="the name was not found")


@pytest.mark.parametrize("url", ["", "api.test/v3", "ftp://api.test/", "http://", "http://[::1/", "http://a:b/"])
async def test_no_url(url: str) -> None:
    async with transport() as network:
        assert isinstance(await network.send(Request(method="GET", url=url, headers=()), 5), NotSent)


@pytest.mark.parametrize("fault", ["other name", "expired", "unknown authority", "no tls", "hangs up", "silent"])
async def test_tls_that_does_not_come_about(certificates: Certificates, fault: str) -> None:
    heard = b""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        heard += await reader.read(100)
        if fault == "no tls":
            writer.write(HELLO)
        elif fault == "silent":
            await reader.read()

    plain = fault in {"no tls", "hangs up", "silent"}
    tls = certificates.server(
        "other.test" if fault == "other name" else "api.test", days=-1 if fault == "expired" else 1
    )
    async with (
        serving(talk, None if plain else tls) as port,
        transport(
            None if fault == "unknown authority" else certificates.client(), Names(api_test=[["127.0.0.1"]])
        ) as network,
    ):
        said = await network.send(post(port, "https://api.test:{}/"), 0.3 if fault == "silent" else 5)
    assert isinstance(said, NotSent)
    assert b"amount" not in heard


async def test_a_name_server_that_is_silent() -> None:
    class Silent(Names):
        async def resolve(self, host: str, port: int = 0) -> list[str]:
            await asyncio.Event().wait()
            return []

    async with transport(resolver=Silent()) as network:
        assert await network.send(post(1, "http://api.test:{}/"), 0.1) == NotSent(why="no answer within 0.1 s")


async def test_no_connection_free() -> None:
    """The one that waits was not sent; the one that holds the connection was."""
    arrived, over = asyncio.Event(), asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await over.wait()

    async with serving(talk) as port, transport(connections=1) as network:
        first = asyncio.create_task(network.send(post(port), 30))
        await asyncio.wait_for(arrived.wait(), 5)
        assert isinstance(await network.send(post(port), 0.1), NotSent)
        over.set()
        assert isinstance(await first, Unknown)


async def test_a_deadline_that_is_over_already() -> None:
    async with serving(saying(HELLO)) as port, transport() as network:
        assert isinstance(await network.send(post(port), 0), NotSent)


# -- unknown: it may have arrived ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "start",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n",
        b'HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{"code_url":',
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"\x15\x03\x01\x00\x02\x02\x28",
        b"\x00" * 1000,
        b"<html>",
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * 20_000 + b"\r\n\r\n",
    ],
    ids=lambda start: repr(start[:60]),
)
@pytest.mark.parametrize("end", ["close", "reset"])
async def test_half_an_answer_or_garbage(start: bytes, end: str) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        await writer.drain()
        if end == "reset":
            reset(writer)
        else:
            writer.close()

    assert isinstance(await outcome_of(talk), Unknown)


async def test_accepted_then_reset_unread() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reset(writer)

    async with serving(talk) as port, transport() as network:
        for _ in range(5):
            assert isinstance(await network.send(post(port), 5), Unknown)


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "POST"])
async def test_a_pooled_connection_that_was_closed_is_unknown_and_nothing_is_repeated(method: str) -> None:
    """Even a GET: whether to ask again is the engine's to say."""
    heard: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append((await read_request(reader))[0])
        writer.write(HELLO)
        heard.append((await read_request(reader))[0])  # the second request is read, and the connection dies

    async with serving(talk) as port, transport() as network:
        request = Request(method=method, url=f"http://127.0.0.1:{port}/", headers=())
        assert isinstance(await network.send(request, 5), Answered)
        assert isinstance(await network.send(request, 5), Unknown)
        assert len(heard) == 2
        assert isinstance(await network.send(request, 5), Answered)


async def test_silence_past_the_deadline() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    assert await outcome_of(talk, deadline_s=0.5) == Unknown(why="no answer within 0.5 s")


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 9999\r\n\r\n"])
async def test_a_slow_drip_past_the_deadline(start: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        for byte in (b"" if start else b"HTTP/1.1 200 OK\r\n") + b"a: " + b"x" * 9000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    loop = asyncio.get_running_loop()
    began = loop.time()
    assert await outcome_of(talk, deadline_s=0.5) == Unknown(why="no answer within 0.5 s")
    assert loop.time() - began < 20  # all of it would take more than a minute


@pytest.mark.parametrize("squeeze", [bytes, gzip.compress])
async def test_an_answer_that_is_too_long(squeeze: Callable[[bytes], bytes]) -> None:
    encoding = "gzip" if squeeze is gzip.compress else "identity"
    whole, long = bytes(ANSWER_BYTES_MAX), bytes(ANSWER_BYTES_MAX + 1)
    said = await outcome_of(saying(answer(200, squeeze(whole), f"content-encoding: {encoding}")))
    assert isinstance(said, Answered)
    assert said.body == whole
    said = await outcome_of(saying(answer(200, squeeze(long), f"content-encoding: {encoding}")))
    assert said == Unknown(why="the answer is longer than 1048576 bytes")


async def test_a_header_that_would_split_the_request_is_not_let_through() -> None:
    def request(port: int) -> Request:
        return Request(method="GET", url=f"http://127.0.0.1:{port}/", headers=(("x", "a\r\ny: b"),))

    assert not isinstance(await outcome_of(saying(HELLO), request), Answered)


async def test_who_gives_up_waiting_is_not_told_a_story() -> None:
    """Cancelling the caller cancels: it does not come back as an answer."""
    arrived = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        arrived.set()
        await reader.read()

    async with serving(talk) as port, transport() as network:
        task = asyncio.create_task(network.send(post(port), 5))
        await asyncio.wait_for(arrived.wait(), 5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


def test_a_context_that_does_not_verify_is_refused() -> None:
    for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.create_default_context()):
        context.check_hostname = False
        with pytest.raises(ValueError, match="always verified"):
            HttpTransport(tls=context)
