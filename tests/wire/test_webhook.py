"""Webhooks over real connections: what each kind of endpoint gets, and what it can do to us."""

from __future__ import annotations

import asyncio
import gzip
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest

from oncepay.ports import Endpoint, Message, Outcome, Publisher
from oncepay.publishers.webhook import WebhookPublisher
from tests.wire.loopback import (
    Certificates,
    Names,
    answer,
    closed_port,
    is_signed_by,
    read_request,
    saying,
    secret_of,
    serving,
)

LOOPBACK = ("127.0.0.0/8",)
SECRET, OLD_SECRET = secret_of(bytes(range(32))), secret_of(bytes(32))
NOW_S = 1_795_000_000
MESSAGE = Message(id="evt_01", timestamp_s=NOW_S, body=b'{"type":"payment.changed"}')


def endpoint(port: int, url: str = "http://127.0.0.1:{}/hook") -> Endpoint:
    return Endpoint(id="end", app="shop", url=url.format(port), secrets=(SECRET, OLD_SECRET))


def delivered(status: int) -> Outcome:
    return Outcome(delivered=True, why=f"HTTP {status}")


def failed(why: str, retry_after_s: float | None = None) -> Outcome:
    return Outcome(delivered=False, why=why, retry_after_s=retry_after_s)


@asynccontextmanager
async def publisher(
    timeout_s: float = 5.0, resolver: Names | None = None, tls: ssl.SSLContext | None = None
) -> AsyncIterator[Publisher]:
    one = WebhookPublisher(timeout_s=timeout_s, resolve=(resolver or Names()).resolve, tls=tls)
    try:
        yield one
    finally:
        await one.close()


async def outcome_of(said: bytes, timeout_s: float = 5.0) -> Outcome:
    async with serving(saying(said)) as port, publisher(timeout_s) as hooks:
        return await hooks.publish(endpoint(port), LOOPBACK, MESSAGE)


async def test_a_delivery_is_one_signed_post_on_a_connection_that_is_kept() -> None:
    heard: list[tuple[str, dict[str, str], bytes]] = []
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        while True:
            heard.append(await read_request(reader))
            writer.write(answer(200, b"thank you", "set-cookie: a=b"))

    async with serving(talk) as port, publisher() as hooks:
        for _ in range(3):
            assert await hooks.publish(
                endpoint(port, "http://127.0.0.1:{}/a%2Fb?c=%20"), LOOPBACK, MESSAGE
            ) == delivered(200)
    assert connections == 1
    for first, headers, body in heard:
        assert first == "POST /a%2Fb?c=%20 HTTP/1.1"
        assert json.loads(body) == {"type": "payment.changed"}
        for secret in (SECRET, OLD_SECRET):
            assert is_signed_by(secret, headers, body)
        assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("evt_01", str(NOW_S))
        assert headers["content-type"] == "application/json"
        assert "cookie" not in headers


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
async def test_any_2xx_is_delivered(status: int) -> None:
    assert await outcome_of(answer(status)) == delivered(status)


@pytest.mark.parametrize("status", [400, 401, 404, 409, 500, 502, 503, 504])
async def test_any_error_is_a_failure(status: int) -> None:
    assert await outcome_of(answer(status, b"sorry")) == failed(f"HTTP {status}")


async def test_410_means_gone() -> None:
    assert await outcome_of(answer(410)) == Outcome(delivered=False, why="410 Gone", gone=True)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("120", 120.0),
        ("0", 0.0),
        ("Wed, 18 Nov 2026 11:08:20 GMT", 1_795_000_100 - NOW_S),
        ("Wed, 18 Nov 2020 11:08:20 GMT", 0.0),
        ("soon", None),
        ("-5", None),
        ("1e9", None),
        ("Wed, 99 Nov 2026 99:99:99 GMT", None),
    ],
)
@pytest.mark.parametrize("status", [429, 503])
async def test_retry_after_is_read_in_both_forms(status: int, header: str, seconds: float | None) -> None:
    assert await outcome_of(answer(status, b"", f"retry-after: {header}")) == failed(f"HTTP {status}", seconds)


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
async def test_a_redirect_is_a_failure_and_nobody_goes_there(status: int) -> None:
    """Else an endpoint could send us to a metadata service, with our headers."""
    visits = 0

    async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1

    async with serving(inside) as secret_port:
        said = answer(status, b"", f"location: http://127.0.0.1:{secret_port}/latest/meta-data")
        assert await outcome_of(said) == failed(f"HTTP {status}: redirects are not followed")
    assert visits == 0


async def test_silence_ends_in_time() -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with serving(talk) as port, publisher(timeout_s=0.5) as hooks:
        assert await hooks.publish(endpoint(port), LOOPBACK, MESSAGE) == failed("no answer within 0.5 s")


@pytest.mark.parametrize(
    ("start", "outcome"), [(b"", failed("no answer within 0.5 s")), (b"HTTP/1.1 200 OK\r\n\r\n", delivered(200))]
)
async def test_a_slow_drip_ends_in_time(start: bytes, outcome: Outcome) -> None:
    """A status that came counts; the rest of the answer does not."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(start)
        for byte in b"HTTP/1.1 200 OK\r\nx: " + b"a" * 10_000:
            writer.write(bytes([byte]))
            await asyncio.sleep(0.01)

    loop = asyncio.get_running_loop()
    async with serving(talk) as port, publisher(timeout_s=0.5) as hooks:
        began = loop.time()
        assert await hooks.publish(endpoint(port), LOOPBACK, MESSAGE) == outcome
        assert loop.time() - began < 20  # all of it would take more than a minute


async def test_a_bomb_is_not_read() -> None:
    """100 MB of answer: what is taken is what the kernel had buffered anyway."""
    taken = 0
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal taken
        await read_request(reader)
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        with suppress(ConnectionError):
            for _ in range(1000):
                writer.write(bytes(100_000))
                await writer.drain()
                taken += 100_000
        over.set()

    async with serving(talk) as port, publisher() as hooks:
        assert await hooks.publish(endpoint(port), LOOPBACK, MESSAGE) == delivered(200)
        await asyncio.wait_for(over.wait(), 20)
    assert taken < 20_000_000


async def test_a_compressed_bomb_stays_compressed() -> None:
    """10 MB of zeros, 10 kB on the wire: small enough as it is, so the connection is even used again."""
    said = answer(200, gzip.compress(bytes(10_000_000)), "content-encoding: gzip")
    connections = 0

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await saying(said)(reader, writer)

    async with serving(talk) as port, publisher() as hooks:
        for _ in range(2):
            assert await hooks.publish(endpoint(port), LOOPBACK, MESSAGE) == delivered(200)
    assert connections == 1


async def test_nobody_listens() -> None:
    async with publisher() as hooks:
        outcome = await hooks.publish(endpoint(closed_port()), LOOPBACK, MESSAGE)
    assert not outcome.delivered
    assert outcome.why.startswith("no connection: ")


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200", b"\x00" * 100, b"HTTP/1.1 999999 \r\n\r\n"]
)
async def test_what_is_not_http_is_a_failure(said: bytes) -> None:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        writer.write(said)

    async with serving(talk) as port, publisher() as hooks:
        outcome = await hooks.publish(endpoint(port), LOOPBACK, MESSAGE)
    assert not outcome.delivered
    assert outcome.why.startswith(("the connection broke", "the answer is not HTTP"))


async def test_a_good_certificate_is_taken(certificates: Certificates) -> None:
    names = Names(hooks_test=[["127.0.0.1"]])
    async with (
        serving(saying(answer(200)), certificates.server("hooks.test")) as port,
        publisher(resolver=names, tls=certificates.client()) as hooks,
    ):
        assert await hooks.publish(endpoint(port, "https://hooks.test:{}/"), LOOPBACK, MESSAGE) == delivered(200)


@pytest.mark.parametrize("fault", ["other name", "expired", "unknown authority", "no tls"])
async def test_any_other_certificate_is_refused(certificates: Certificates, fault: str) -> None:
    async def plain(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(answer(400))

    tls = certificates.server(
        "other.test" if fault == "other name" else "hooks.test", days=-1 if fault == "expired" else 1
    )
    async with (
        serving(plain, None if fault == "no tls" else tls) as port,
        publisher(
            resolver=Names(hooks_test=[["127.0.0.1"]]),
            tls=None if fault == "unknown authority" else certificates.client(),
        ) as hooks,
    ):
        outcome = await hooks.publish(endpoint(port, "https://hooks.test:{}/"), LOOPBACK, MESSAGE)
    assert not outcome.delivered
    assert outcome.why.startswith("TLS: ")


def test_a_context_that_does_not_verify_is_refused() -> None:
    for context in (ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), ssl.create_default_context()):
        context.check_hostname = False
        with pytest.raises(ValueError, match="always verified"):
            WebhookPublisher(tls=context)


async def test_a_name_that_turns_private_is_not_visited() -> None:
    """Rebinding: the first look is public, the one that counts is not. And one bad address among good ones."""
    visits = 0

    async def inside(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal visits
        visits += 1

    names = Names(
        flip_test=[["1.1.1.1"], ["127.0.0.1"]], mix_test=[["1.1.1.1", "127.0.0.1"]], v6_test=[["::ffff:127.0.0.1"]]
    )
    await names.resolve("flip.test")
    async with serving(inside), publisher(resolver=names) as hooks:
        for name in ("flip.test", "mix.test", "v6.test"):
            outcome = await hooks.publish(endpoint(0, f"https://{name}/"), (), MESSAGE)
            assert not outcome.delivered
            assert outcome.why.startswith("not sent: ")
            assert outcome.why.endswith(": loopback")
    assert visits == 0


async def test_what_one_app_may_reach_opens_nothing_for_another() -> None:
    """Neither the resolved name nor the open connection of the first app serves the second."""
    names = Names(app_lan=[["127.0.0.1"]])
    async with serving(saying(answer(200))) as port, publisher(resolver=names) as hooks:
        one = endpoint(port, "http://app.lan:{}/")
        assert await hooks.publish(one, LOOPBACK, MESSAGE) == delivered(200)
        for networks in ((), ("10.0.0.0/8",), ("0.0.0.0/0",), ("lan",)):
            outcome = await hooks.publish(one, networks, MESSAGE)
            assert not outcome.delivered
            assert outcome.why.startswith("not sent: ")


async def test_an_unknown_name() -> None:
    async with publisher(resolver=Names()) as hooks:
        outcome = await hooks.publish(endpoint(0, "https://nowhere.test/"), (), MESSAGE)
    assert outcome == failed("the name was not found")


async def test_a_bad_secret_is_a_failure_that_does_not_quote_it() -> None:
    async with publisher() as hooks:
        one = Endpoint(id="end", app="shop", url="https://shop.test/", secrets=("hush",))
        outcome = await hooks.publish(one, (), MESSAGE)
    assert outcome == failed("not sent: a webhook secret starts with whsec_")


async def test_a_dead_endpoint_does_not_hold_up_another() -> None:
    """Thirty deliveries hang at one host; the next host is served at once."""
    hanging = asyncio.Semaphore(0)

    async def dead(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        hanging.release()
        await reader.read()

    async with serving(dead) as dead_port, serving(saying(answer(200))) as port, publisher(60.0) as hooks:
        stuck = [asyncio.create_task(hooks.publish(endpoint(dead_port), LOOPBACK, MESSAGE)) for _ in range(30)]
        for _ in range(20):
            await hanging.acquire()
        assert await asyncio.wait_for(hooks.publish(endpoint(port), LOOPBACK, MESSAGE), 20) == delivered(200)
        for task in stuck:
            task.cancel()
        await asyncio.wait(stuck)
