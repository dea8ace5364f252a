"""The HTTP edge, byte by byte and in pieces; bodies, query strings, cursors, names; whole requests to the API."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable, Iterator
from functools import cache
from typing import Any, Final

import httptools
import msgspec
from uvicorn.protocols.http import httptools_impl

from oncepay.domain import ids, once
from oncepay.domain.errors import OncepayError
from oncepay.http import (
    auth,
    cases,
    deliveries,
    edge,
    endpoints,
    events,
    exchange,
    named,
    page,
    payments,
    problem,
    reading,
    refunds,
    views,
)  # fmt: skip
from oncepay.http.app import RESOURCES
from oncepay.http.edge import EdgeProtocol, make_server
from oncepay.http.reading import read_json, read_query
from oncepay.store import rows
from tests.fuzz.fuzzer import Target
from tests.wire.api import NATIVE, TEA, Api, open_api

VERBS: Final = tuple(verb for resource in RESOURCES for verb in resource.verbs.values())
BODIES: Final = tuple(verb for verb in VERBS if verb.body is not None)
QUERIES: Final = tuple(dict.fromkeys(verb.query for verb in VERBS if verb.query is not None))

# -- the edge --------------------------------------------------------------------------------------------------------

# Requests sent ahead without end: what is said must be the same in one piece and in many.
LIMITS: Final = edge.Limits(body_bytes=2_000, body_bytes_below=(("/notify/", 500),), ahead=100_000)
CODES: Final = {100, 204, 400, 413, 431}
REQUESTS: Final = (
    b"GET /v1/payments?limit=2 HTTP/1.1\r\nhost: x\r\n\r\n",
    b"POST /v1/payments HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n5;a=b\r\nhello\r\n0\r\nx: y\r\n\r\n",
    b"GET http://x/a HTTP/1.1\r\nhost: x\r\n\r\nHEAD /%41?b HTTP/1.0\r\nconnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\n\r\n",
    b"POST /notify/a/b HTTP/1.1\r\nexpect: 100-continue\r\ncontent-length: 2\r\n\r\nok",
    b"POST / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\ncontent-length: 2\r\n\r\nokGET / HTTP/1.1\r\n\r\n",
    b"CONNECT x:1 HTTP/1.1\r\n\r\n",
    b"POST / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n"
    + b"3\r\naaa\r\n" * 660
    + b"0\r\n\r\n",  # near the cap
)
WORDS: Final = (
    b"GET ", b"POST ", b"HEAD ", b"CONNECT ", b"OPTIONS * HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n", b" HTTP/1.1\r\n", b" HTTP/1.0\r\n",
    b"\r\n\r\n", b"transfer-encoding: chunked\r\n", b"transfer-encoding: gzip, chunked\r\n", b"content-length: 5\r\n",
    b"content-length: 99999999999999999999\r\n", b"connection: upgrade\r\nupgrade: h2c\r\n", b"connection: close\r\n",
    b"expect: 100-continue\r\n", b"http://", b"https://x:99999", b"//", b"/../", b"0\r\n\r\n", b"5\r\n", b"ffffffffffffffff\r\n",
    b"GET / HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n", b" folded\r\n", b"x:\x00\r\n", b"\xff", b"HTTP/1.1 200 OK\r\n\r\n",
)  # fmt: skip


class Wire:
    """The other side of a connection: what was written, and whether more is read."""

    def __init__(self) -> None:
        self.said = bytearray()
        self.reading = True
        self.closed = False
        self.ended = False

    def get_extra_info(self, name: str) -> Any:
        return {"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)}.get(name)

    def write(self, data: bytes) -> None:
        assert not self.ended, "written behind the end"
        if not self.closed:
            self.said += data

    def can_write_eof(self) -> bool:
        return True

    def write_eof(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True


class Heard:
    """An application that says 204; what it was asked."""

    def __init__(self) -> None:
        self.bodies: list[tuple[str, bytes]] = []

    async def __call__(
        self,
        scope: dict[str, Any],
        receive: Callable[[], Awaitable[dict[str, Any]]],
        send: Callable[[dict[str, Any]], Awaitable[None]],
    ) -> None:
        assert isinstance(scope["path"], str)
        message = await receive()
        assert not message.get("more_body"), "a request is whole before the application sees it"
        self.bodies.append((scope["path"], message["body"]))
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body", "body": b""})


class Answers:
    """What a client reads."""

    def __init__(self, said: bytes) -> None:
        self.codes: list[int] = []
        self.whole = 0
        self._parser = httptools.HttpResponseParser(self)
        self._parser.feed_data(said)

    def on_headers_complete(self) -> None:
        self.codes.append(self._parser.get_status_code())

    def on_message_complete(self) -> None:
        self.whole += 1


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _server() -> tuple[edge.EdgeServer, Heard]:
    heard = Heard()
    server = make_server(heard, lifespan="off", limits=LIMITS)  # type: ignore[arg-type]
    server._listener.close()
    server.config.load()
    return server, heard


async def _converse(data: bytes, step: int) -> tuple[Wire, list[str]]:
    server, heard = _server()
    heard.bodies.clear()
    told: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: told.append(repr(context)))
    wire = Wire()
    protocol = EdgeProtocol(server.config, server.server_state, {}, loop)  # type: ignore[arg-type]
    protocol.connection_made(wire)  # type: ignore[arg-type]
    pieces = [data[at : at + step] for at in range(0, len(data), step)]
    for piece in pieces:
        while not wire.reading and server.server_state.tasks:
            await asyncio.sleep(0)
        if wire.closed or not wire.reading:
            break
        protocol.data_received(piece)
    while server.server_state.tasks:
        await asyncio.sleep(0)
    if not wire.closed:
        protocol.connection_lost(None)
    return wire, told


def said_to(data: bytes, step: int = 0) -> list[int]:
    """The statuses that come back. ``step``: into how large pieces it is cut; 0: not at all."""
    wire, told = _loop().run_until_complete(_converse(data, step or len(data) or 1))
    assert told == []
    return Answers(bytes(wire.said)).codes


def raw_bytes(data: bytes) -> None:
    """The first byte: into how large pieces the rest is cut."""
    codes = said_to(data[1:], data[0] if data else 0)
    assert set(codes) <= CODES, codes
    heard = _server()[1].bodies
    assert all(len(body) <= (500 if path.startswith("/notify/") else LIMITS.body_bytes) for path, body in heard)
    assert codes.count(204) <= len(heard)
    assert not any(code >= 400 for code in codes[:-1]), "it went on behind a refusal"


# -- strict reading --------------------------------------------------------------------------------------------------

EXAMPLES: Final[tuple[dict[str, Any], ...]] = (
    TEA | {"attempt": NATIVE, "deadline_ms": 1_800_000_000_000, "return_url": "https://shop.example/x"},
    NATIVE | {"payer": {"openid": "o"}, "options": {"a": [1, {"b": None}]}, "expires_ms": 1},
    {"if_paid": "refund"}, {"deadline_ms": 1}, {"minor": 1}, {"refund_no": "R-1", "minor": 5, "note": "n"},
    {"url": "https://a.example/"}, {"status": "parked", "limit": 3}, {"reason": "r", "actor": "a", "evidence": "e", "trade_no": "t"},
)  # fmt: skip
NAMES: Final = (
    *(f'"{name}":'.encode() for example in EXAMPLES for name in example),
    b" - at `$", b"`", b"Object contains unknown field `", b"$.a[0]", b'"a":1,"a":2,', b'"\\u0061":1', b'" :', b"8800.0", b"1e2",
)  # fmt: skip


def body(data: bytes) -> None:
    """The first byte: of which verb."""
    verb, raw = BODIES[(data[0] if data else 0) % len(BODIES)], data[1:]
    try:
        found = read_json(verb.decoder, raw)
    except OncepayError as error:
        assert len(error.detail) < 1000, error.detail
        msgspec.json.encode(error.fields)
        return
    again = json.loads(raw, object_pairs_hook=_once)
    assert "\0" not in json.dumps(again, ensure_ascii=False)
    msgspec.json.encode(found)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    assert len(found) == len(pairs), "a member stands twice"
    return found


def query(data: bytes) -> None:
    """The first byte: of which verb."""
    kind = QUERIES[(data[0] if data else 0) % len(QUERIES)]
    try:
        msgspec.json.encode(read_query(kind, data[1:]))
    except OncepayError as error:
        assert len(error.detail) < 1000 + len(data), error.detail
        msgspec.json.encode(error.fields)


CURSORS: Final = ((int, str), (str, int, str, int), (str, int, str), (int, str, str))


def cursor(data: bytes) -> None:
    """The first byte: of which list; as text, and as what stands inside."""
    kinds, text = CURSORS[(data[0] if data else 0) % len(CURSORS)], data[1:].decode("utf-8", "replace")
    for after in (text, base64.urlsafe_b64encode(data[1:]).decode().rstrip("=")):
        try:
            place = rows.place_of(after, *kinds)
        except OncepayError:
            continue
        assert rows.place_of(rows.cursor(*place), *kinds) == place


# -- whole requests --------------------------------------------------------------------------------------------------


@cache
def _api() -> tuple[Api, str, object]:
    """The real thing, a payment that is there, and what keeps both."""

    async def opened() -> tuple[Api, str, object]:
        running = open_api()
        api = await running.__aenter__()
        return api, (await api.paid())["id"], running

    return _loop().run_until_complete(opened())


def request(data: bytes) -> None:
    """``METHOD target``, an empty line, the body. ``{id}`` is a payment that is there."""
    api, payment_id, _ = _api()
    head, _, raw = data.partition(b"\n\n")
    method, _, target = head.decode("latin-1").replace("{id}", payment_id).partition(" ")
    if not (method.isascii() and method.isalpha() and method.isupper()) or "wait=" in target:
        return
    path, _, asked = target.partition("?")
    if not asked.isascii() or not path.isprintable():
        return  # the edge lets no such request in
    said = _loop().run_until_complete(api.shop.call(method, target, raw=raw))
    assert said.status < 500, said
    assert said.status < 400 or len(said.body) < 20_000, "a refusal that quotes all of it"


CALLS: Final = (
    (b"POST /v1/payments", EXAMPLES[0]), (b"GET /v1/payments?limit=2&status=paid", None), (b"GET /v1/payments/{id}?fresh=true", None),
    (b"POST /v1/payments/{id}/attempts", EXAMPLES[1]), (b"POST /v1/payments/{id}/close", EXAMPLES[2]),
    (b"POST /v1/payments/{id}/refunds", EXAMPLES[5]), (b"GET /v1/payments/{id}/timeline", None), (b"GET /v1/events?after=", None),
    (b"GET /v1/deliveries?status=done", None), (b"POST /v1/deliveries/replay", EXAMPLES[7]), (b"GET /v1/cases?status=all", None),
    (b"POST /v1/endpoints", EXAMPLES[6]), (b"POST /notify/wechat/wx", {"id": "x"}), (b"GET /return/{id}", None), (b"GET /healthz", None),
)  # fmt: skip


def targets() -> Iterator[Target]:
    """All of the doors."""
    examples = tuple(json.dumps(example).encode() for example in EXAMPLES)
    queries = (
        b"limit=3&after=abc&status=open&order_no=A-1&since_ms=1&until_ms=2", b"fresh=true&wait=3&version=1", b"payment=pay_1&status=all",
    )  # fmt: skip
    places = ((1_700_000_000_000, "0ABC"), ("epoch", 3, "0ABC", 1), ("0ABC", 1, "e1"), (1, "a", "b"))
    yield Target(
        name="http.edge", run=raw_bytes, modules=(edge, httptools_impl), tokens=WORDS, steps=60_000, size_max=70_000,
        seeds=tuple(bytes((step,)) + said for said in REQUESTS for step in (0, 7)),
    )  # fmt: skip
    yield Target(
        name="http.body", run=body, modules=(reading, once), tokens=NAMES, size_max=65_536,
        seeds=tuple(bytes((number,)) + example for number in range(len(BODIES)) for example in examples),
    )  # fmt: skip
    yield Target(
        name="http.query", run=query, modules=(reading,), tokens=NAMES, size_max=16_384,
        seeds=tuple(bytes((number,)) + asked for number in range(len(QUERIES)) for asked in queries),
    )  # fmt: skip
    yield Target(
        name="http.cursor", run=cursor, modules=(rows,), size_max=1024,
        seeds=tuple(bytes((number,)) + seed for number, place in enumerate(places)
                    for seed in (rows.cursor(*place).encode(), json.dumps(place).encode())),
    )  # fmt: skip
    yield Target(
        name="http.request", run=request, tokens=NAMES, size_max=4096, steps=60_000,
        modules=(auth, cases, deliveries, endpoints, events, exchange, ids, named, page, payments, problem, refunds, views),
        seeds=tuple(head + b"\n\n" + (json.dumps(said).encode() if said else b"") for head, said in CALLS),
    )  # fmt: skip
