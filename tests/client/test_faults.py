"""A wire that loses, cuts and delays: what both clients make of it, by the books of the channel."""

from __future__ import annotations

import asyncio
import gzip
import json
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import pytest
import pytest_asyncio

from oncepay.client import (
    ArgumentInvalid,
    Around,
    AsyncClient,
    Attempt,
    CallFailed,
    Client,
    Limits,
    NotSent,
    Unauthorized,
    Unknown,
    client,
)
from tests.client.talkers import KINDS, Kind, talking, ticking, wired
from tests.client.test_tries import OK
from tests.wire.api import Api, open_api
from tests.wire.loopback import Certificates, answer, closed_port, read_request, saying, serving

NATIVE = Attempt(channel="wechat", method="native")
FATES = ["before", "after", "502", "cut"]
SHORT = Limits(total_s=1.0, try_s=0.8)


def tea(order_no: str, **more: Any) -> Any:
    return lambda c: c.payments.create(order_no=order_no, minor=8800, currency="CNY", subject="Tea", **more)


# -- against the real centre -------------------------------------------------------------------------------------

real = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


@real
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fates", [[fate] for fate in FATES] + [["after", "before", "502", "cut"]], ids="-".join)
async def test_a_lost_answer_makes_no_second_order(api: Api, kind: Kind, fates: list[str]) -> None:
    order_no = f"{kind}-{'-'.join(fates)}"
    async with wired(api.engine.settings.public_url) as wire, talking(kind, wire.url, api.town.key) as shop:
        wire.next = [*fates]
        made = await shop.ask(tea(order_no, attempt=NATIVE))
        assert wire.seen == ["POST /v1/payments"] * (len(fates) + 1)
        assert made.replayed is (fates != ["before"])
        rows = [row for row in api.town.sandbox.books() if row.number.startswith(made.id[4:])]
        assert [row.number for row in rows] == [made.attempt.id[4:]], "one order at the channel"


@real
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("fate", FATES)
async def test_a_lost_answer_makes_no_second_refund(api: Api, kind: Kind, fate: str) -> None:
    async with wired(api.engine.settings.public_url) as wire, talking(kind, wire.url, api.town.key) as shop:
        made = await shop.ask(tea(f"{kind}-r-{fate}", attempt=NATIVE))
        api.town.sandbox.pay(made.attempt.id[4:])
        await api.town.quiet()
        wire.next = [fate, fate]
        back = await shop.ask(lambda c: c.refunds.create(made.id, refund_no="R-1", minor=800))
        assert wire.seen[1:] == [f"POST /v1/payments/{made.id}/refunds"] * 3
        assert back.replayed is (fate != "before")
        await api.town.passes(60)
        rows = [row for row in api.town.sandbox.books() if row.number.startswith(made.id[4:])]
        assert [refund.amount for row in rows for refund in row.refunds] == [800]


@real
@pytest.mark.parametrize("kind", KINDS)
async def test_what_changes_nothing_the_second_time_is_simply_made_again(api: Api, kind: Kind) -> None:
    async with wired(api.engine.settings.public_url) as wire, talking(kind, wire.url, api.town.key) as shop:
        made = await shop.ask(tea(f"{kind}-c"))
        for call, status in [
            (lambda c: c.payments.close(made.id), "closed"),
            (lambda c: c.payments.reopen(made.id, deadline_ms=made.deadline_ms + 1), "open"),
            (lambda c: c.payments.amend(made.id, minor=5), "open"),
        ]:
            wire.next = ["after", "502"]
            assert (await shop.ask(call)).status == status
        hook = await shop.ask(lambda c: c.endpoints.create(url=f"https://shop.example/{kind}"))
        wire.next = ["after", "after"]
        assert await shop.ask(lambda c: c.endpoints.remove(hook.id)) is None
        assert hook.id not in {endpoint.id for endpoint in await shop.ask(lambda c: c.endpoints.list())}


@real
@pytest.mark.parametrize("kind", KINDS)
async def test_a_secret_is_not_made_twice_by_itself(api: Api, kind: Kind) -> None:
    """Each rotation ends the secret before the last: repeated blindly, it would silence who still has the first."""
    async with wired(api.engine.settings.public_url) as wire, talking(kind, wire.url, api.town.key) as shop:
        hook = await shop.ask(lambda c: c.endpoints.create(url=f"https://shop.example/{kind}-s"))
        wire.next = ["after"]
        with pytest.raises(Unknown, match="do not simply make it again"):
            await shop.ask(lambda c: c.endpoints.rotate(hook.id))
        stored = api.engine.directory.endpoint(hook.id)
        assert stored is not None
        assert hook.secret in stored.secrets
        wire.next = ["after"]
        with pytest.raises(Unknown, match=r"look into endpoints\.list"):
            await shop.ask(lambda c: c.endpoints.create(url=f"https://shop.example/{kind}-t"))
        assert f"https://shop.example/{kind}-t" in {e.url for e in await shop.ask(lambda c: c.endpoints.list())}


@real
@pytest.mark.parametrize("kind", KINDS)
async def test_silence_to_the_end_is_unknown_and_the_order_is_there(api: Api, kind: Kind) -> None:
    limits = Limits(total_s=1.5, try_s=1)
    async with (
        wired(api.engine.settings.public_url) as wire,
        talking(kind, wire.url, api.town.key, limits=limits) as shop,
    ):
        wire.next = ["silent"] * 9
        with pytest.raises(Unknown) as caught:
            await shop.ask(tea(f"{kind}-silent"))
        assert caught.value.outcome == "unknown"
        assert "make the same call again: the order_no makes it the same payment" in str(caught.value)
        wire.next = []
        assert (await shop.ask(tea(f"{kind}-silent"))).replayed is True


# -- against a wire alone ----------------------------------------------------------------------------------------

HTML = answer(502, b"<h1>Bad gateway</h1>", "content-type: text/html")
GOOD = answer(201, OK.body, "content-type: application/json")
SQUEEZED = answer(201, gzip.compress(OK.body), "content-type: application/json", "content-encoding: gzip")
DENIED = answer(
    401,
    json.dumps({"code": "unauthorized", "status": 401, "outcome": "not_sent"}).encode(),
    "content-type: application/problem+json",
)
BUSY = answer(
    503,
    json.dumps({"code": "overloaded", "status": 503, "retry": True, "outcome": "unknown"}).encode(),
    "content-type: application/problem+json",
    "retry-after: 3",
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("said", "error", "outcome", "tries"),
    [
        ([GOOD], None, None, 1),
        ([SQUEEZED], None, None, 1),
        ([HTML, BUSY.replace(b"retry-after: 3", b"retry-after: 0"), GOOD], None, None, 3),
        ([DENIED], Unauthorized, "not_sent", 1),
        ([HTML, DENIED], Unauthorized, "unknown", 2),
        ([answer(301, b"", "location: http://127.0.0.1:9/")], Unknown, "unknown", 1),
        ([answer(200, b"<p>log in", "content-type: text/html")], Unknown, "unknown", 1),
        ([SQUEEZED.replace(gzip.compress(b"")[:4], b"nope")], Unknown, "unknown", None),
        ([b"SSH-2.0-OpenSSH_9.2\r\n\r\n"], Unknown, "unknown", None),
        ([b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello!"], Unknown, "unknown", None),
        ([HTML], Unknown, "unknown", None),
    ],
)
async def test_what_comes_back(
    kind: Kind, said: list[bytes], error: type[CallFailed] | None, outcome: str | None, tries: int | None
) -> None:
    async with (
        serving(saying(*said)) as port,
        talking(kind, f"http://127.0.0.1:{port}", "onc_x", around=ticking()) as shop,
    ):
        if error is None:
            assert (await shop.ask(tea("A-1"))).order_no == "A-1"
            return
        with pytest.raises(error) as caught:
            await shop.ask(tea("A-1"))
        assert caught.value.outcome == outcome
        assert tries is None or caught.value.tries == tries


@pytest.mark.parametrize("kind", KINDS)
async def test_the_pause_that_the_centre_asks_for_is_kept(kind: Kind) -> None:
    paused: list[float] = []

    async def sleep(seconds: float) -> None:
        paused.append(seconds)

    around = Around(sleep=paused.append, sleep_async=sleep, draw=lambda: 0.5)
    async with (
        serving(saying(BUSY, GOOD)) as port,
        talking(kind, f"http://127.0.0.1:{port}", "onc_x", around=around) as shop,
    ):
        await shop.ask(tea("A-1"))
    assert paused == [3.1]


@pytest.mark.parametrize("kind", KINDS)
async def test_who_is_never_reached_was_not_sent_to(kind: Kind, certificates: Certificates) -> None:
    async with talking(kind, f"http://127.0.0.1:{closed_port()}", "onc_x", around=ticking()) as shop:
        with pytest.raises(NotSent, match="no connection to") as caught:
            await shop.ask(tea("A-1"))
        assert caught.value.outcome == "not_sent"
        assert caught.value.tries > 1
    async with (
        serving(saying(GOOD), tls=certificates.server("127.0.0.1")) as port,
        talking(kind, f"https://127.0.0.1:{port}", "onc_x", around=ticking()) as shop,
    ):
        with pytest.raises(NotSent, match="certificate"):
            await shop.ask(tea("A-1"))


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer of which a little comes at a time, for ever."""
    await read_request(reader)
    writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 1000000\r\n\r\n")
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_that_drips_ends_in_time(kind: Kind) -> None:
    async with serving(drips) as port, talking(kind, f"http://127.0.0.1:{port}", "onc_x", limits=SHORT) as shop:
        began = time.monotonic()
        with pytest.raises(Unknown, match="no answer within"):
            await shop.ask(tea("A-1"))
        assert time.monotonic() - began < 20  # it would take hours


@pytest.mark.parametrize("kind", KINDS)
async def test_an_answer_without_end_is_not_kept(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "ANSWER_MAX", 1000)
    async with (
        serving(saying(answer(200, b" " * 5000, "content-type: application/json"))) as port,
        talking(kind, f"http://127.0.0.1:{port}", "onc_x", around=ticking()) as shop,
    ):
        with pytest.raises(Unknown, match="the answer has more than"):
            await shop.ask(tea("A-1"))


@pytest.mark.parametrize("kind", KINDS)
async def test_within_is_the_same_client_with_less_time(kind: Kind) -> None:
    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        await asyncio.sleep(60)

    async with serving(silent) as port, talking(kind, f"http://127.0.0.1:{port}", "onc_x") as shop:
        began = time.monotonic()
        with pytest.raises(Unknown, match=r"no answer within 0\.5"):
            await shop.ask(lambda c: c.within(0.5).payments.get("pay_x"))
        assert time.monotonic() - began < 20
        with pytest.raises(ArgumentInvalid):
            await shop.ask(lambda c: c.within(0).payments.get("pay_x"))


async def test_the_callers_connections_stay_the_callers() -> None:
    async with serving(saying(GOOD)) as port:
        url = f"http://127.0.0.1:{port}"

        def in_a_thread() -> None:
            with httpx2.Client(headers={"x-proxy": "1"}) as mine:
                with Client(url, "onc_x", http=mine) as ours:
                    ours.payments.get("pay_x")
                assert not mine.is_closed

        with pytest.raises(Unknown):  # the answer is about another payment
            await asyncio.to_thread(in_a_thread)
        async with httpx2.AsyncClient() as mine:
            async with AsyncClient(url, "onc_x", http=mine) as ours:
                assert (await ours.payments.create(order_no="A-1", minor=8800, currency="CNY", subject="T")).order_no
            assert not mine.is_closed


async def test_a_call_that_is_cancelled_is_cancelled() -> None:
    reached = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await read_request(reader)
        reached.set()
        await asyncio.sleep(60)

    async with serving(silent) as port, AsyncClient(f"http://127.0.0.1:{port}", "onc_x") as ours:
        asking = asyncio.create_task(ours.events.list())
        await reached.wait()
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking


async def test_after_a_fork_each_process_has_connections_of_its_own() -> None:
    """One socket in two processes, and each may read the other's answer."""
    peers: list[object] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            await read_request(reader)
            peers.append(writer.get_extra_info("peername"))
            writer.write(GOOD)

    program = """
import os, sys
from oncepay.client import Client
client = Client(sys.argv[1], "onc_x")
def make(): client.payments.create(order_no="A-1", minor=8800, currency="CNY", subject="Tea")
make()
child = os.fork()
make() if not child else os.waitpid(child, 0)
make() if child else os._exit(0)
client.close()
"""
    async with serving(talk) as port:
        done = await asyncio.create_subprocess_exec(sys.executable, "-c", program, f"http://127.0.0.1:{port}")
        assert await done.wait() == 0
    assert len(peers) == 3
    assert (peers[0] == peers[2], peers[0] == peers[1]) == (True, False)


@pytest.mark.parametrize("kind", [Client, AsyncClient])
@pytest.mark.parametrize(
    "url",
    ["", "pay.example", "ftp://pay.example", "https://", "https://pay.example?x=1", "https://pay.example/#x",
     "https://u:secret@pay.example", "http://[::1", "https://pay.example:99999999"],
)  # fmt: skip
def test_what_is_no_address_is_refused_at_once(kind: Any, url: str) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        kind(url, "onc_x")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("key", ["", "onc_x\r\nx: y", "onc x", "onc_é", "onc_x\n"])
def test_what_is_no_key_is_refused_at_once_and_not_quoted(key: str) -> None:
    with pytest.raises(ArgumentInvalid) as caught:
        Client("https://pay.example", key)
    assert key == "" or key not in str(caught.value)


@pytest.mark.parametrize(("written", "path"), [("", "/v1/events"), ("/", "/v1/events"), ("/pay/", "/pay/v1/events")])
async def test_a_centre_may_stand_below_a_path(written: str, path: str) -> None:
    seen: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first, headers, _ = await read_request(reader)
        seen.extend([first, headers["authorization"], headers["user-agent"]])
        writer.write(answer(200, b'{"data": [], "next": "c"}', "content-type: application/json"))

    async with serving(talk) as port, AsyncClient(f"http://127.0.0.1:{port}{written}", "onc_x") as ours:
        assert (await ours.events.list(limit=1)).next == "c"
    assert seen[0] == f"GET {path}?limit=1 HTTP/1.1"
    assert seen[1] == "Bearer onc_x"
    assert seen[2].startswith("oncepay-python/")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_call_goes_by_the_proxy_that_the_environment_names(kind: Kind, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append((await read_request(reader))[0])
        writer.write(answer(200, b'{"data": [], "next": "c"}', "content-type: application/json"))

    centre = f"http://127.0.0.1:{closed_port()}"
    async with serving(talk) as port:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{port}")
        async with talking(kind, centre, "onc_x") as ours:
            assert (await ours.ask(lambda c: c.events.list(limit=1))).next == "c"
        assert seen == [f"GET {centre}/v1/events?limit=1 HTTP/1.1"]
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        async with talking(kind, centre, "onc_x", limits=SHORT) as ours:
            with pytest.raises(NotSent):
                await ours.ask(lambda c: c.events.list(limit=1))
    assert len(seen) == 1
