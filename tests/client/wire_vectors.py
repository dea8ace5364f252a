"""The vectors behind ``docs/wire.md``, played on the real centre: ``python -m tests.client.wire_vectors`` writes
``docs/wire.json`` again. A test makes them anew and compares, so they are what the centre says today.

What a centre draws (ids, keys, names of requests) is replaced by fixed examples; what it signs is signed afterwards.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from oncepay.domain.errors import AccountAbsent
from oncepay.http import openapi
from oncepay.http import problem as problems
from oncepay.http.app import RESOURCES
from oncepay.publishers.signing import sign
from tests.wire.api import Api, Caller, Said, open_api

PATH: Final = Path(__file__).parents[2] / "docs" / "wire.json"
KEY: Final = "onc_EXAMPLE"
IDS: Final = ("6EKQ91GVF3MJ3CPRTY1ZQMV3GM", "2R7V0Q8N5KXW4T1B9YHCZD3FAE")
OLD, NEW, STRANGE = (f"whsec_{letter * 42}A=" for letter in "ABC")
NOW_S: Final = 1_800_000_100
TEA: Final = {"order_no": "A-1", "amount": {"minor": 8800, "currency": "CNY"}, "subject": "Green tea"}
NATIVE: Final = {"channel": "wechat", "method": "native"}
SHOWN: Final = ("content-type", "oncepay-request-id", "oncepay-replayed", "retry-after", "www-authenticate")


TOLD: Final = ("code", "title", "retry", "outcome")


class Recorder:
    """Makes requests of the centre and keeps what was said."""

    def __init__(self) -> None:
        self.exchanges: list[dict[str, Any]] = []

    async def __call__(
        self, caller: Caller, name: str, method: str, target: str, body: object = None, *, text: str | None = None
    ) -> Said:
        said = await caller.call(method, target, body, raw=text.encode() if text is not None else None)
        request: dict[str, Any] = {"method": method, "target": target, "headers": {"authorization": f"Bearer {KEY}"}}
        if body is not None or text is not None:
            request["headers"]["content-type"] = "application/json"
            request["body"] = body if text is None else text
        headers = {name: said.headers[name] for name in SHOWN if name in said.headers}
        answer = {"status": said.status, "headers": headers, "body": said.json}
        self.exchanges.append({"name": name, "request": request, "answer": answer})
        return said


async def play(api: Api) -> list[dict[str, Any]]:
    """A story of two orders, each line of it on the wire."""
    shop, record = api.shop, Recorder()
    asked = TEA | {"attempt": NATIVE}
    made = await record(shop, "a payment with its first attempt", "POST", "/v1/payments", asked)
    payment = made.json["id"]
    path = f"/v1/payments/{payment}"
    await record(shop, "the same again", "POST", "/v1/payments", asked)
    other = TEA | {"amount": {"minor": 8801, "currency": "CNY"}}
    await record(shop, "the same number with another amount", "POST", "/v1/payments", other)
    await record(shop, "an unknown field", "POST", "/v1/payments", TEA | {"colour": "green"})
    await record(
        shop, "text for a number", "POST", "/v1/payments", TEA | {"amount": {"minor": "8800", "currency": "CNY"}}
    )
    await record(shop, "a body that is not JSON", "POST", "/v1/payments", text='{"order_no": "A-1",')
    stranger = Caller(shop._asgi, "onc_wrong")
    await record(stranger, "a key that is not one", "GET", path)
    await record(shop, "nothing of that name, or another app's", "GET", f"/v1/payments/pay_{'0' * 26}")
    await record(shop, "a refund of what is not paid", "POST", f"{path}/refunds", {"refund_no": "R-1", "minor": 800})

    api.town.sandbox.pay(made.json["attempt"]["id"][4:])
    await api.town.quiet()
    await record(shop, "waiting for a version above 0", "GET", f"{path}?wait=25&version=0")
    await record(shop, "closing what is paid", "POST", f"{path}/close", {"if_paid": "keep"})
    await record(shop, "a refund", "POST", f"{path}/refunds", {"refund_no": "R-1", "minor": 800})
    await record(shop, "the same refund again", "POST", f"{path}/refunds", {"refund_no": "R-1", "minor": 800})
    await record(shop, "more than what is kept", "POST", f"{path}/refunds", {"refund_no": "R-2", "minor": 8001})
    await api.town.passes(60)
    await record(shop, "what was told, from the very beginning", "GET", "/v1/events?limit=100")

    api.town.faults(http_502=1.0)
    doubtful = TEA | {"order_no": "A-2", "attempt": NATIVE}
    await record(shop, "the channel does not answer in time", "POST", "/v1/payments", doubtful)
    api.town.faults()
    return record.exchanges


def fixed(exchanges: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """With examples in the place of what was drawn."""
    text = json.dumps(exchanges, ensure_ascii=False)
    found = list(dict.fromkeys(i for i in re.findall(r"pay_([0-9A-Z]{26})", text) if i != "0" * 26))
    for drawn, example in zip(found, IDS, strict=True):
        text = text.replace(drawn, example)
    text = re.sub(r"ref_[0-9A-Z]{26}", f"ref_{IDS[0]}", text)
    text = re.sub(rf"{IDS[0]}R[0-9A-Z]{{5}}\b", f"{IDS[0]}R7K2M9", text)
    for count, drawn in enumerate(dict.fromkeys(re.findall(r"req_\w+", text)), 1):
        text = re.sub(rf"\b{drawn}\b", f"req_9f3a1c_{count:x}", text)
    text = re.sub(r'("next": )"[^"]+"', r'\1"CURSOR"', text)
    text = re.sub(r"weixin://wxpay/bizpayurl\?pr=\w+", "weixin://wxpay/bizpayurl?pr=k13kgHlH8", text)
    text = re.sub(r"\b(1800\d{6})\d{3}\b", r"\g<1>000", text)  # to the second
    examples: list[dict[str, Any]] = json.loads(text)
    return examples


def messages(event: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Messages to an endpoint that knows ``secrets``, at the time ``now``: which must be taken in, and why not."""
    body = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
    good = sign((NEW,), event["id"], NOW_S, body.encode())

    def message(
        name: str, verdict: str, headers: dict[str, str] = good, text: str = body, **more: Any
    ) -> dict[str, Any]:
        return {
            "name": name,
            "secrets": [NEW],
            "now": NOW_S,
            "headers": headers,
            "body": text,
            "verdict": verdict,
            **more,
        }

    def signed(text: str, at: int = NOW_S, secrets: tuple[str, ...] = (NEW,)) -> dict[str, str]:
        return sign(secrets, event["id"], at, text.encode())

    yield message("genuine", "taken")
    yield message("during a rotation, signed with both", "taken", signed(body, secrets=(NEW, OLD)), secrets=[OLD])
    yield message("during a rotation, known are both", "taken", signed(body, secrets=(OLD,)), secrets=[NEW, OLD])
    unknown_kind = {**good, "webhook-signature": f"v1a,xxxx {good['webhook-signature']}"}
    yield message("a signature of another kind beside ours", "taken", unknown_kind)
    yield message("five minutes behind", "taken", signed(body, NOW_S - 300))
    yield message("of another endpoint or app", "signature", signed(body, secrets=(STRANGE,)))
    yield message("altered by one byte", "signature", good, body.replace("8800", "8801", 1))
    yield message("written again with blanks", "signature", good, json.dumps(event, ensure_ascii=False))
    yield message("another id", "signature", {**good, "webhook-id": event["id"][:-1] + "9"})
    yield message("without a timestamp", "signature", {k: v for k, v in good.items() if k != "webhook-timestamp"})
    yield message("ten minutes ahead", "time", signed(body, NOW_S + 600))
    yield message("ten minutes behind", "time", signed(body, NOW_S - 600))
    for name, text in [
        ("not JSON", "paid=1"),
        ("an unknown type", body.replace('"payment.changed"', '"payment.split"')),
        ("a version that is not its payment's", body.replace('"version":1,"changes"', '"version":2,"changes"')),
        ("a status that nobody knows", body.replace('"status":"paid"', '"status":"mislaid"')),
    ]:
        yield message(name, "unreadable", signed(text), text)
    newer = body.replace('"type":', '"colour":"green","type":')
    yield message("a member that a newer centre adds", "taken", signed(newer), newer)


def refusals() -> Iterator[dict[str, Any]]:
    """Every code that calls of an app are refused with, and what is known when they are."""
    verbs = [verb for r in RESOURCES if r.path.startswith("/v1/") for verb in r.verbs.values()]
    kinds = {kind for verb in verbs for found in openapi._problems(verb).values() for kind in found}
    kinds |= {problems.RouteAbsent, problems.MethodRefused}
    fields: dict[Any, dict[str, object]] = {
        problems.MethodRefused: {"allow": "GET"},
        AccountAbsent: {"field": "account"},
    }
    for kind in sorted(kinds, key=lambda kind: (problems.family_of_class(kind).status, kind.code)):
        error = kind("", **fields.get(kind, {}))
        status, body, headers = problems.problem(error, request_id="req_1", money=True, paths={}, now_ms=0)
        told = {name: value for name, value in json.loads(body).items() if name in TOLD}
        yield {**told, "status": status, "retry_after": any(name == b"retry-after" for name, _ in headers)}


async def make() -> dict[str, Any]:
    """All of it."""
    async with open_api() as api:
        exchanges = fixed(await play(api))
    told = next(e for e in exchanges if e["request"]["target"].startswith("/v1/events"))["answer"]["body"]["data"]
    return {
        "exchanges": exchanges,
        "refusals": list(refusals()),
        "messages": list(messages(told[0])),
        "story": {"events": told, "deeds": ["paid", "app refund R-1"]},
    }


def written(vectors: dict[str, Any]) -> str:
    """As the file holds them."""
    return json.dumps(vectors, ensure_ascii=False, indent=1) + "\n"


if __name__ == "__main__":
    PATH.write_text(written(asyncio.run(make())), "utf-8")
