"""Bad input: each mistake has its status, its code, names its field, and loses nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from oncepay.engine.vault import VaultRefused
from oncepay.http.exchange import BODY_MAX
from oncepay.http.notify import NOTIFY_MAX
from tests.wire.api import NATIVE, TEA, Api, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")

GONE: Any = object()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


def changed(body: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy of the body with one field changed, or left out."""
    copy: dict[str, Any] = json.loads(json.dumps(body))
    *above, last = path.split(".")
    inner = copy
    for name in above:
        inner = inner.setdefault(name, {})
    if value is GONE:
        del inner[last]
    else:
        inner[last] = value
    return copy


FULL = {**TEA, "order_no": "BAD-1", "attempt": NATIVE}


def each(path: str, *values: Any) -> list[tuple[str, Any]]:
    return [(path, value) for value in values]


CREATE: list[tuple[str, Any]] = [
    *each("order_no", GONE, "", "a b", "A" * 65, "A\n", "订单", 7, None, "A/1", "\0", ["A"]),
    *each("amount.minor", GONE, 0, -1, 2**53, 2**63, 2**64, 1.0, 1e2, "100", True, None, [1], 10**400),
    *each("amount.currency", GONE, "", "cny", "CNYX", "XXX", "CNY\n", 156, None),
    *each("amount", GONE, None, 8800, [], "88.00 CNY"),
    ("amount.fen", 1),
    *each("subject", GONE, "", "x" * 128, 1, None, "Tea\0"),
    *each("deadline_ms", 0, 1_800_000_000, -1, "tomorrow", 1.5, True, None, 2**53, 1_800_000_000_000_000),
    *each(
        "return_url",
        "javascript:alert(1)", "http://shop.example/x", "//shop.example", "https://", "https://a b", "https://a/\n",
        "https://a/\r\nX: y", "https://" + "a" * 600, "", 1, "http://localhost.evil.example/", "https://é.example/",
        "http://localhost:1@evil.example/", "http://127.0.0.1:1@evil.example", "http://localhost@evil.example/",
        "http://[::1]:80\\@evil.example/", "http://localhost:x/",
    ),
    *each("attempt.channel", GONE, "", "paypal", "x" * 65, 1, None),
    *each("attempt.method", GONE, "", "magic", 1, None),
    *each("attempt.account", "nobody", 1, None, "x" * 65),
    *each("attempt.payer", None, [], "me", {"shoe_size": "44"}),
    ("attempt.payer.client_ip", 1),
    ("attempt.payer.client_ip", "not an address"),
    ("attempt.options", []),
    ("attempt.options", {"alipay": {}}),
    ("attempt.options.wechat", {"nope": 1}),
    *each("attempt.expires_ms", -1, "soon", 1_800_000_030_000, 2**53, None),
    ("attempt.minor", 1),
    ("attempt", None),
    ("status", "paid"),
    ("id", "pay_0"),
    ("app", "other"),
    ("version", 3),
]  # fmt: skip


@pytest.mark.parametrize(("path", "value"), CREATE, ids=lambda v: "gone" if v is GONE else repr(v)[:30])
async def test_a_payment_with_one_wrong_field_is_refused_by_its_name(api: Api, path: str, value: Any) -> None:
    said = await api.shop.post("/v1/payments", changed(FULL, path, value))
    problem = said.json
    assert said.status == 422, problem
    assert said.headers["content-type"] == "application/problem+json"
    assert (problem["status"], problem["outcome"], problem["retry"]) == (422, "not_sent", False)
    named = problem["field"]
    assert named == path or named.startswith(f"{path}.") or path.startswith(f"{named}."), problem
    assert problem["pointer"] == "#/" + named.replace(".", "/")
    assert (await api.shop.get("/v1/payments?order_no=BAD-1")).json["data"] == []


@pytest.mark.parametrize(
    ("raw", "status", "says"),
    [
        (b"", 415, "Content-Type"),
        (b"{", 400, "truncated"),
        (b'{"order_no":', 400, "truncated"),
        (b'{"order_no":"A",}', 400, "byte 16"),
        (b"order_no=A-1", 400, "byte 0"),
        (json.dumps(FULL).encode() * 2, 400, "trailing"),
        (b'\xef\xbb\xbf{"order_no":"A-1"}', 400, "byte 0"),
        (b'{"order_no":"\xff"}', 400, "UTF-8"),
        (b'{"order_no":"\\ud800"}', 400, "truncated"),
        (b'{"order_no":"\\ud800 abcdefgh"}', 400, "surrogate"),
        (b'{"order_no":NaN}', 400, "byte"),
        (b"[]", 422, "object"),
        (b"null", 422, "object"),
        (b'"A-1"', 422, "object"),
        (b'{"order_no":"A-1","order_no":"A-2"}', 422, "amount"),
        (json.dumps(FULL)[:-1].encode() + b',"order_no":"BAD-2"}', 422, "twice"),
        (json.dumps(FULL).replace('"minor": 8800', '"minor": 1, "minor": 8800').encode(), 422, "twice"),
        (json.dumps(FULL)[:-2].encode() + b',"options":{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}}}", 400, "deep"),
    ],
)
async def test_what_is_not_one_json_object_is_refused_and_told_where(
    api: Api, raw: bytes, status: int, says: str
) -> None:
    said = await api.shop.call("POST", "/v1/payments", raw=raw)
    assert said.status == status, said.body
    assert says in said.json["detail"]
    assert said.json["outcome"] == "not_sent"


@pytest.mark.parametrize(
    ("media", "status"),
    [
        ("application/json", 200),
        ("application/json; charset=utf-8", 200),
        ("Application/JSON;charset=UTF-8", 200),
        ('application/json; charset="utf-8"', 200),
        ("", 415),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json; charset=gbk", 415),
        ("application/jsonx", 415),
    ],
)
async def test_a_body_is_json_and_says_so(api: Api, media: str, status: int) -> None:
    await api.shop.post("/v1/payments", TEA)
    said = await api.shop.call("POST", "/v1/payments", TEA, headers={"content-type": media})
    assert said.status == status
    assert status == 200 or said.json["code"] == "content_type_refused"


@pytest.mark.parametrize("chunks", [1, 7])
@pytest.mark.parametrize("announced", [True, False])
async def test_a_body_over_the_cap_is_refused(api: Api, chunks: int, announced: bool) -> None:
    for target, most in [("/v1/payments", BODY_MAX), ("/notify/wechat/wx", NOTIFY_MAX)]:
        raw = b" " * (most + 1)
        headers = {"content-length": str(len(raw))} if announced else {}
        said = await api.shop.call("POST", target, raw=raw, headers=headers, chunks=chunks)
        assert (said.status, said.json["code"], said.json["max_bytes"]) == (413, "body_too_large", most)
        said = await api.shop.call("POST", target, raw=raw[1:], chunks=chunks)
        assert said.status in {400, 404}


async def test_a_body_in_parts_is_put_together(api: Api) -> None:
    raw = json.dumps({**TEA, "order_no": "PARTS"}).encode()
    assert (await api.shop.call("POST", "/v1/payments", raw=raw, chunks=9)).status == 201


@pytest.mark.parametrize(
    "value", ["", "Bearer", "Bearer ", "Bearer nope", "Basic c2hvcA==", "bearer\tx", "Bearer " + "x" * 300]
)
async def test_without_a_key_of_ours_nothing_is_said(api: Api, value: str) -> None:
    said = await api.nobody.call("GET", "/v1/payments", headers={"authorization": value})
    assert (said.status, said.json["code"]) == (401, "unauthorized")
    assert said.headers["www-authenticate"].startswith("Bearer")


async def test_the_scheme_of_a_key_is_written_as_one_likes(api: Api) -> None:
    said = await api.nobody.call("GET", "/v1/payments", headers={"authorization": f"bEARER {api.shop.key}"})
    assert said.status == 200


async def test_a_key_that_was_taken_away_stops_at_once_and_the_last_use_is_noted(api: Api) -> None:
    from oncepay.engine import admin

    app, key = await admin.create_app(api.engine, "brief", "For a moment")
    headers = {"authorization": f"Bearer {key}"}
    assert (await api.nobody.call("GET", "/v1/payments", headers=headers)).status == 200
    for task in list(api.engine.background):
        await task
    used = {k.hint: k.used_ms for a in await api.engine.ledger.apps() for k in a.keys if a.id == "brief"}
    assert used == {key[-4:]: api.town.now_ms}
    await admin.revoke_key(api.engine, app, key[-4:])
    assert (await api.nobody.call("GET", "/v1/payments", headers=headers)).status == 401


QUERIES = [
    ("/v1/payments?limit=0", "limit"),
    ("/v1/payments?limit=101", "limit"),
    ("/v1/payments?limit=ten", "limit"),
    ("/v1/payments?limit=1&limit=2", "limit"),
    ("/v1/payments?limit=", "limit"),
    ("/v1/payments?after=nonsense", "after"),
    ("/v1/payments?after=%00", "after"),
    ("/v1/payments?after=" + "A" * 300, "after"),
    ("/v1/payments?status=unpaid", "status"),
    ("/v1/payments?status=", "status"),
    ("/v1/payments?order_no=a%20b", "order_no"),
    ("/v1/payments?since_ms=-1", "since_ms"),
    ("/v1/payments?until_ms=99999999999999999999", "until_ms"),
    ("/v1/payments?trade_no=", "trade_no"),
    ("/v1/payments?trade_no=%00", "trade_no"),
    ("/v1/payments?colour=red", "colour"),
    ("/v1/events?wait=26", "wait"),
    ("/v1/events?wait=-1", "wait"),
    ("/v1/events?after=x", "after"),
    ("/v1/deliveries?status=lost", "status"),
    ("/v1/deliveries?after=x", "after"),
    ("/v1/cases?status=none", "status"),
    ("/v1/cases?after=x", "after"),
    ("/livez?x=1", "x"),
]


@pytest.mark.parametrize(("target", "parameter"), QUERIES)
async def test_a_query_with_a_mistake_is_refused_by_its_name(api: Api, target: str, parameter: str) -> None:
    said = await api.shop.get(target)
    assert said.status == 422, said.body
    assert (said.json["code"], said.json["parameter"]) == ("invalid", parameter)
    assert "pointer" not in said.json


@pytest.mark.parametrize(
    "query", ["limit", "=&=", "limit=%ff", "limit=%zz", "&".join(f"a{i}=1" for i in range(30)), "&"]
)
async def test_a_query_that_is_none_is_refused(api: Api, query: str) -> None:
    assert (await api.shop.get(f"/v1/payments?{query}")).status == 422


async def test_paths_and_methods_that_are_not_there(api: Api) -> None:
    for target in (
        "/v1",
        "/v1/",
        "/v1/payments/",
        "/v1/refund",
        "/nope",
        "/v1/payments/x/y",
        "//",
        "/v1/payments//refunds",
    ):
        said = await api.shop.get(target)
        assert (said.status, said.json["code"]) == (404, "route_absent"), target
    for method in ("PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"):
        said = await api.shop.call(method, "/v1/payments")
        assert (said.status, said.headers["allow"]) == (405, "GET, HEAD, POST")
    said = await api.nobody.call("GET", "/notify/wechat/wx")
    assert (said.status, said.headers["allow"]) == (405, "POST")


@pytest.mark.parametrize("fault", [RuntimeError, VaultRefused], ids=["any", "with a code of its own"])
async def test_a_fault_of_ours_says_nothing_of_the_inside(
    api: Api, monkeypatch: pytest.MonkeyPatch, fault: type[Exception]
) -> None:
    """And the next request works."""

    async def broken(*_args: object, **_more: object) -> None:
        raise fault("SELECT secret FROM app")

    with monkeypatch.context() as patched:
        patched.setattr(api.engine.ledger, "payments", broken)
        said = await api.shop.get("/v1/payments")
    assert (said.status, said.json["code"], said.json["retry"]) == (500, "internal", True)
    assert said.json["instance"] == f"urn:oncepay:request:{said.headers['oncepay-request-id']}"
    assert b"SELECT" not in said.body
    assert b"Traceback" not in said.body
    assert (await api.shop.get("/v1/payments")).status == 200
