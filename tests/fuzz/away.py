"""What others' programs and our own settings say: endpoints' answers, events that apps receive, URLs, settings."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import sqlite3
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final

from oncepay import config, transport
from oncepay.client import calls, errors, tries, webhooks
from oncepay.client.around import Around
from oncepay.client.guards import Inbox, OtherPayment, inbox, link_of, milestones, transactions
from oncepay.client.tries import Limits, Lost, Pause, converse
from oncepay.client.webhooks import read_event, verify
from oncepay.config import ConfigInvalid, from_env, read_master_key, split_listen
from oncepay.outbound import message, wire
from oncepay.outbound.message import CallFailed, Reply, RequestInvalid, compose
from oncepay.outbound.wire import Pool
from oncepay.publishers import places, roads, signing, webhook
from oncepay.publishers import targets as judging
from oncepay.publishers.places import is_broker, place_of, split_login
from oncepay.publishers.roads import read_target
from oncepay.publishers.signing import SecretInvalid, sign
from oncepay.publishers.targets import TargetRefused
from tests.client.described import CALLS
from tests.fuzz.fuzzer import Target

VECTORS: Final[dict[str, Any]] = json.loads((Path(__file__).parents[2] / "docs" / "wire.json").read_text())
NOW_S: Final = 1_800_000_000
SECRET: Final = "whsec_" + base64.b64encode(bytes(range(32))).decode()

# -- answers of endpoints and vendors, on the wire ---------------------------------------------------------------------

ANSWERS: Final = (
    b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok",
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
    b"HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.0 503 Busy\r\nretry-after: Thu, 01 Jan 2099 00:00:00 GMT\r\n\r\nlater",
    b"HTTP/1.1 429 Slow\r\nretry-after: 120\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 22\r\n\r\n" + bytes.fromhex("1f8b08000000000002ffcbcf06004d2b92d402000000"),
)  # fmt: skip
WORDS: Final = (
    b"HTTP/1.1 ", b"HTTP/1.0 200", b"content-length: ", b"transfer-encoding: chunked\r\n", b"\r\n\r\n", b"0\r\n\r\n", b"retry-after: ",
    b"Thu, 01 Jan 1970 00:00:00 -9999", b"99999", b"content-encoding: deflate\r\n", b"connection: close\r\n", b"410 Gone", b"upgrade: x\r\n",
    b"101 Switching Protocols", b"Mon, 99 Foo 99999 99:99:99 GMT", b"1 Jan 1 0:0", b"Fri, 31 Dec 9999 23:59:59 -2359",
)  # fmt: skip


class Line:
    """The other side of a connection."""

    def __init__(self) -> None:
        self.closed = False

    def write(self, data: bytes) -> None:
        assert data

    def abort(self) -> None:
        self.closed = True

    def is_closing(self) -> bool:
        return self.closed

    def get_write_buffer_size(self) -> int:
        return 0


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


async def _answered(data: bytes, step: int) -> Reply | None:
    line = Line()
    one = wire.Wire(asyncio.get_running_loop(), webhook.ANSWER_BYTES_MAX)
    one.pool = Pool()
    one.pool.taken = 1
    one.pool.wires.add(one)
    one.connection_made(line)  # type: ignore[arg-type]
    answer = one.ask(b"POST / HTTP/1.1\r\n\r\n")
    for at in range(0, len(data), step):
        if not line.closed:
            one.data_received(data[at : at + step])
    if not line.closed:
        one.connection_lost(None)
    try:
        return await asyncio.wait_for(answer, 1)
    except CallFailed as failed:
        assert failed.sent
        return failed.answer


def answer(data: bytes) -> None:
    """The first byte: into how large pieces the rest is cut. What it makes of a delivery, and of a call."""
    step = data[0] if data and data[0] else len(data) or 1
    reply = _loop().run_until_complete(_answered(data[1:], step))
    if reply is None:
        return
    assert 200 <= reply.status < 1000
    assert len(reply.body) <= webhook.ANSWER_BYTES_MAX
    outcome = webhook._outcome(reply, NOW_S)
    assert outcome.retry_after_s is None or outcome.retry_after_s >= 0
    outcome.why.encode()
    plain = transport._plain(reply.body, reply.headers().get("content-encoding", ""))
    assert len(plain) <= transport.ANSWER_BYTES_MAX


def retry_after(data: bytes) -> None:
    """The header alone."""
    found = webhook.read_retry_after(data.decode("latin-1"), NOW_S)
    assert found is None or found >= 0


# -- URLs and secrets ----------------------------------------------------------------------------------------------------

NETWORKS: Final = ((), ("10.0.0.0/8", "127.0.0.0/8", "fc00::/7"))
URLS: Final = (
    b"https://shop.example.com:8443/hook?a=%2F", b"http://10.1.2.3/x", b"https://[2606:4700::1111]/", b"amqps://u:battery-staple@mq.example.com/v?queue=q",
    b"amqp://10.0.0.1/?queue=paid", b"kafkas://u:battery-staple@k.example.com:9093,l.example.com/topic?sasl=scram-sha-512",
    b"rediss://:battery-staple@r.example.com:16379/1?stream=s&replicas=1",
)  # fmt: skip
URL_WORDS: Final = (
    b"https://", b"http://", b"amqps://", b"kafkas://", b"rediss://", b"REDIS://", b"@", b"%40", b"%zz", b"[::1]", b"[::ffff:10.0.0.1]",
    b"169.254.169.254", b"0x7f.1", b"2130706433", b"localhost", b".localhost", b"xn--", b"?queue=", b"?stream=", b"&replicas=", b"?sasl=",
    b":0", b":65536", b"..", b"[fe80::1%25eth0]", b"[64:ff9b::a9fe:a9fe]", b"battery-staple",
)  # fmt: skip


def url(data: bytes) -> None:
    """The first byte: with which networks. No refusal quotes a login, and what is let through can be called."""
    networks, text = NETWORKS[(data[0] if data else 0) % 2], data[1:].decode("utf-8", "replace")
    try:
        shown, login = read_target(text, networks)
    except TargetRefused as error:
        str(error).encode()
        if is_broker(text) and "battery-staple" not in split_login(text)[0]:
            assert "battery-staple" not in str(error)
        return
    if is_broker(text):
        place = place_of(shown, login, networks)
        assert place.name
        assert all(0 < port < 65_536 for _, port in place.hosts)
        assert networks or place.tls
    else:
        origin, said = compose("POST", shown, (("a", "b"),), b"{}")
        assert said.count(b"\r\n") == 5
        assert networks or origin.tls


def secret(data: bytes) -> None:
    """Of an endpoint, on both sides."""
    text = data.decode("utf-8", "replace")
    try:
        headers = sign((text,), "evt_1", NOW_S, b"{}")
    except SecretInvalid as error:
        assert len(str(error)) < 200
        headers = sign((SECRET,), "evt_1", NOW_S, b"{}")
    try:
        verify(text, headers, b"{}", NOW_S)
    except errors.ArgumentInvalid as error:
        assert len(str(error)) < 200
    except (errors.SignatureInvalid, errors.EventUnreadable):
        pass


def header(data: bytes) -> None:
    """Lines of a request of ours: method, URL, headers, in lines."""
    method, _, rest = data.decode("utf-8", "replace").partition("\t")
    address, _, lines = rest.partition("\t")
    headers = [(name, value) for name, _, value in (line.partition(":") for line in lines.split("\t") if line)]
    try:
        _, said = compose(method, address, headers, b"body")
    except RequestInvalid as error:
        str(error).encode()
        return
    head, _, left = said.partition(b"\r\n\r\n")
    assert left == b"body"
    assert head.count(b"\n") == head.count(b"\r") == 2 + len(headers)


# -- what apps receive ---------------------------------------------------------------------------------------------------


def _messages() -> Iterator[tuple[dict[str, str], bytes]]:
    for one in VECTORS["messages"]:
        yield dict(one["headers"]), one["body"].encode()


EVENTS: Final = tuple(json.dumps(event, ensure_ascii=False).encode() for event in VECTORS["story"]["events"])
EVENT_WORDS: Final = (
    b'"type":"payment.changed"', b'"version":1', b'"status":"paid"', b'"refunds":[', b'"closed":null', b'"paid":null', b'"origin":"surplus"',
    b"webhook-id: ", b"webhook-signature: v1,", b"webhook-timestamp: ", b" v1,", b"v1a,", b'"order_no":"', b"9223372036854775808",
)  # fmt: skip


def webhook_message(data: bytes) -> None:
    """Headers, an empty line, the body. Nobody signed it."""
    head, _, body = data.partition(b"\n\n")
    headers = {
        name: value.strip() for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\n"))
    }
    try:
        verify(SECRET, headers, body, NOW_S)
    except (errors.SignatureInvalid, errors.TimeInvalid, errors.EventUnreadable) as error:
        assert len(str(error)) < 2000
        return
    assert body in EVENTS, "believed"


@cache
def _books() -> Inbox[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:", isolation_level=None)

    class Kept:
        """A transaction of the one connection."""

        def __enter__(self) -> sqlite3.Connection:
            connection.execute("BEGIN IMMEDIATE")
            return connection

        def __exit__(self, kind: object, *_rest: object) -> None:
            connection.execute("ROLLBACK" if kind else "COMMIT")

    with Kept():
        link_of(connection).make_tables()
    found = Inbox[sqlite3.Connection](Kept, around=Around(now_ms=lambda: NOW_S * 1000))
    found.ignore(*milestones.WORDS)
    return found


def event(data: bytes) -> None:
    """A body that the centre signed; then to the inbox, twice."""
    try:
        told = read_event(data)
    except errors.EventUnreadable as error:
        assert len(str(error)) < 2000
        return
    try:
        _books().take(told)
    except OtherPayment:
        return
    assert _books().take(told) == (), "a second time"


KNOWN: Final = tuple(CALLS.values())


def answers_of_the_centre(data: bytes) -> None:
    """The first byte: to which call; the second: with which status. Then headers, an empty line, the body."""
    call = KNOWN[(data[0] if data else 0) % len(KNOWN)]
    status = (200, 201, 202, 204, 400, 402, 404, 409, 422, 500, 502, 503, 302)[(data[1] if data[1:] else 0) % 13]
    head, _, body = data[2:].partition(b"\n\n")
    headers = {
        name.lower(): value.strip()
        for name, _, value in (line.partition(":") for line in head.decode("latin-1").split("\n"))
    }
    talk = converse(call, Limits(total_s=5), Around(clock=lambda: 0.0, draw=lambda: 0.0))
    said: Any = None
    try:
        for _ in range(4):
            wanted = talk.send(said)
            said = None if isinstance(wanted, Pause) else calls.Answer(status, headers, body)
        talk.send(Lost(sent=True, why="over"))
    except (errors.CallFailed, StopIteration) as error:
        assert len(str(error)) < 5_000 + 2 * len(data)
    finally:
        talk.close()


# -- settings --------------------------------------------------------------------------------------------------------------

SETTINGS: Final = (
    b"LISTEN=127.0.0.1:8480\nPUBLIC_URL=https://pay.example.com/\nLEASE_S=30\nLOG_JSON=true\nRAW_DAYS=400",
    b"DATABASE_URL=postgresql://u:p@h/d\nMASTER_KEY=" + base64.b64encode(bytes(32)) + b"\nREDIS_URL=redis://h:6379\nLOG_LEVEL=DEBUG",
    b"WEBHOOK_TIMEOUT_S=10\nSTART_BUDGET_S=9\nFRESH_GAP_S=2\nCALLS_PER_S=0.5\nLISTEN=[::1]:1",
)  # fmt: skip
SETTING_WORDS: Final = (
    *(f"\n{name.upper()}=".encode() for name in config.Config.__struct_fields__),
    b"nan", b"inf", b"-inf", b"1e999", b"true", b"[::1]:", b"https://", b"http://", b"redis://", "²".encode(),
)  # fmt: skip


def settings(data: bytes) -> None:
    """Lines of NAME=value. What is let through can be relied upon."""
    lines = (line.partition("=") for line in data.decode("utf-8", "replace").split("\n"))
    environ = {f"ONCEPAY_{name}": value for name, _, value in lines if name != "MASTER_KEY_FILE"}
    try:
        found = from_env(environ)
    except ConfigInvalid as error:
        str(error).encode()
        key = environ.get("ONCEPAY_MASTER_KEY", "")
        elsewhere = any(key in name + text for name, text in environ.items() if name != "ONCEPAY_MASTER_KEY")
        assert len(key) < 20 or elsewhere or key not in str(error), "a secret is quoted"
        return
    for name in ("lease_s", "start_budget_s", "fresh_gap_s", "webhook_timeout_s", "calls_per_s", "raw_days"):
        assert 0 <= getattr(found, name) < 2**31, name
    assert found.lease_s > found.webhook_timeout_s > 0
    assert 0 <= split_listen(found.listen)[1] < 65_536
    assert found.url.isprintable()
    assert " " not in found.url
    try:
        assert len(read_master_key(found)) == 32
    except ConfigInvalid as error:
        assert len(found.master_key) < 20 or found.master_key not in str(error)


def targets() -> Iterator[Target]:
    """All of them."""
    logging.getLogger("oncepay.client").disabled = True
    signed = [
        "\n".join(f"{name}: {value}" for name, value in sign((SECRET,), json.loads(body)["id"], NOW_S, body).items()).encode()
        + b"\n\n" + body
        for body in EVENTS[:3]
    ]  # fmt: skip
    messages = [
        "\n".join(f"{n}: {v}" for n, v in headers.items()).encode() + b"\n\n" + body for headers, body in _messages()
    ]
    problem = json.dumps(
        {"code": "key_reused", "title": "t", "detail": "d", "retry": True, "outcome": "unknown"}
    ).encode()
    yield Target(
        name="outbound.answer", run=answer, modules=(wire, message, webhook, transport), tokens=WORDS, size_max=70_000,
        seeds=tuple(bytes((step,)) + said for said in ANSWERS for step in (0, 5)), steps_each_byte=200,
    )  # fmt: skip
    yield Target(
        name="outbound.retry_after", run=retry_after, modules=(webhook, _parseaddr()), tokens=WORDS,
        seeds=(b"120", b"Thu, 01 Jan 2099 00:00:00 GMT", b"1 Jan 20 0:0:0 +0100"),
    )  # fmt: skip
    yield Target(
        name="outbound.request", run=header, modules=(message,), tokens=(*URL_WORDS, b"\t"),
        seeds=(b"POST\thttps://a.example:8443/x?y\ta: b\tc: d", b"GET\thttp://[::1]"),
    )  # fmt: skip
    yield Target(
        name="urls", run=url, modules=(places, judging, roads, message), tokens=URL_WORDS, size_max=2048,
        seeds=tuple(bytes((networks,)) + one for one in URLS for networks in (0, 1)),
    )  # fmt: skip
    yield Target(name="secrets", run=secret, modules=(signing, webhooks), seeds=(SECRET.encode(), b"whsec_aaaa"))
    yield Target(
        name="client.webhook", run=webhook_message, modules=(webhooks,), tokens=EVENT_WORDS, seeds=(*signed, *messages[:12])
    )  # fmt: skip
    yield Target(
        name="client.event", run=event, modules=(webhooks, inbox, milestones, transactions), tokens=EVENT_WORDS, seeds=EVENTS
    )  # fmt: skip
    yield Target(
        name="client.answer", run=answers_of_the_centre, modules=(calls, tries, errors),
        tokens=(*EVENT_WORDS, b"content-type: application/problem+json", b"retry-after: 1", b"location: "),
        seeds=(
            b"\x00\x00content-type: application/json\n\n" + EVENTS[0], b"\x01\x07content-type: application/problem+json\n\n" + problem,
            b"\x02\x0bretry-after: 2\n\n<html>",
        ),
    )  # fmt: skip
    yield Target(name="settings", run=settings, modules=(config,), tokens=SETTING_WORDS, seeds=SETTINGS)


def _parseaddr() -> Any:
    from email import _parseaddr  # type: ignore[attr-defined]

    return _parseaddr
