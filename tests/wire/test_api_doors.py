"""The doors without a key: notifications, payers who come back, health; and the API's description of itself."""

from __future__ import annotations

import html.parser
import json
import re
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from oncepay.domain import errors
from oncepay.domain.errors import OncepayError, Unavailable
from oncepay.engine.intake import REFUSED
from oncepay.http.app import RESOURCES, about
from oncepay.http.exchange import Resource
from oncepay.http.problem import family_of_class
from tests.wire.api import NATIVE, TEA, Api, Said, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


# -- notifications -----------------------------------------------------------------------------------------------


async def test_what_is_not_believed_has_one_answer_whoever_sends_it(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "N-1", "attempt": NATIVE})).json
    raw = b'{"id":"EV-1","event_type":"TRANSACTION.SUCCESS","resource":{}}'
    for headers in ({}, {"host": "localhost"}, {"x-forwarded-for": "127.0.0.1"}, {"user-agent": "Mozilla/4.0"}):
        said = await api.nobody.call("POST", "/notify/wechat/wx", raw=raw, headers=headers)
        stranger = await api.nobody.call("POST", "/notify/wechat/nobody", raw=raw, headers=headers)
        assert (said.status, said.body) == (stranger.status, stranger.body) == (404, REFUSED.body)
    assert (await api.shop.get(f"/v1/payments/{payment['id']}")).json["status"] == "open"


@pytest.mark.parametrize("path", ["/notify/wechat/nobody", "/notify/alipay/wx", "/notify/%00/wx", "/notify/WECHAT/wx"])
async def test_a_notification_for_nobody_is_refused(api: Api, path: str) -> None:
    assert (await api.nobody.call("POST", path, raw=b"{}")).status == 404


async def test_a_store_that_is_away_makes_the_channel_send_it_again(api: Api, monkeypatch: Any) -> None:
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "N-2", "attempt": NATIVE})).json

    async def away(*_args: object) -> bool:
        raise Unavailable

    with monkeypatch.context() as patched:
        patched.setattr(api.engine.ledger, "commit", away)
        api.town.sandbox.pay(payment["attempt"]["id"][4:])
        await api.town.sandbox.settle()
    assert (await api.shop.get(f"/v1/payments/{payment['id']}")).json["status"] == "open"
    api.town.sandbox.advance(15)
    await api.town.quiet()
    assert (await api.shop.get(f"/v1/payments/{payment['id']}")).json["status"] == "paid"


# -- the payer comes back ----------------------------------------------------------------------------------------


async def test_a_payer_who_comes_back_makes_us_ask_and_goes_on_to_the_shop(api: Api) -> None:
    body = {**TEA, "order_no": "B-1", "attempt": NATIVE, "return_url": "https://shop.example/thanks?order=B-1#top"}
    payment = (await api.shop.post("/v1/payments", body)).json
    api.town.faults({"fault": "notify_none"})
    api.town.sandbox.pay(payment["attempt"]["id"][4:])
    said = await api.nobody.get(f"/return/{payment['id']}")
    assert (said.status, said.headers["location"], said.body) == (303, body["return_url"], b"")
    assert (await api.shop.get(f"/v1/payments/{payment['id']}")).json["status"] == "paid"


async def test_a_payer_without_a_shop_to_go_to_reads_three_words(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "B-2", "subject": "<b>Tea</b>"})).json
    page = f"/return/{payment['id']}"
    said = await api.nobody.get(page)
    assert (said.status, b"Not paid yet" in said.body) == (200, True)
    assert b"Tea" not in said.body
    assert said.headers["content-security-policy"].startswith("default-src 'none'")
    await api.shop.post(f"/v1/payments/{payment['id']}/close", {})
    assert b"closed" in (await api.nobody.get(page)).body
    paid = await api.paid("B-3")
    assert b"Paid." in (await api.nobody.get(f"/return/{paid['id']}")).body
    for name in ("pay_0", f"pay_{'0' * 26}", "x"):
        assert (await api.nobody.get(f"/return/{name}")).status == 404


async def test_what_the_browser_brings_along_is_not_read_and_not_refused(api: Api) -> None:
    """Alipay sends it back with a signed query, UnionPay with a form. Neither proves anything; the channel is asked."""
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "B-5", "attempt": NATIVE})).json
    page = f"/return/{payment['id']}"
    said = await api.nobody.get(f"{page}?trade_no=1&trade_no=2&total_amount=88.00&sign=a%2Bb%ZZ%00")
    assert (said.status, b"Not paid yet" in said.body) == (200, True)
    said = await api.nobody.call(
        "POST", page, headers={"content-type": "application/x-www-form-urlencoded"}, raw=b"respCode=00&="
    )
    assert (said.status, b"Not paid yet" in said.body) == (200, True)
    paid = await api.paid("B-6")
    assert (await api.nobody.call("POST", f"/return/{paid['id']}", raw=b"")).status == 200


async def test_a_channel_that_is_silent_keeps_the_payer_only_a_moment(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr("oncepay.http.notify.RETURN_S", 0.05)
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "B-4", "attempt": NATIVE})).json
    api.town.sandbox.advance(5)
    api.town.faults({"fault": "slow", "call": "query", "seconds": 5})
    said = await api.nobody.get(f"/return/{payment['id']}")
    assert b"Not paid yet" in said.body
    api.town.faults()


# -- health ------------------------------------------------------------------------------------------------------


async def test_alive_and_ready_are_two_things(api: Api, monkeypatch: Any) -> None:
    assert (await api.nobody.get("/livez")).json == {"status": "ok"}
    assert (await api.nobody.get("/readyz")).json == {"status": "ok"}

    async def away(*_args: object) -> None:
        raise Unavailable("the database does not answer")

    with monkeypatch.context() as patched:
        patched.setattr(api.engine.ledger, "ping", away)
        patched.setattr(api.engine.ledger, "stats", away)
        assert (await api.nobody.get("/livez")).status == 200
        said = await api.nobody.get("/readyz")
        assert (said.status, said.json["code"], said.headers["retry-after"]) == (503, "unavailable", "2")
        metrics = await api.nobody.get("/metrics")
        assert metrics.status == 200
        assert "oncepay_store{" not in metrics.body.decode()


async def test_metrics_count_by_route_never_by_path(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "M-1"})).json
    await api.shop.get(f"/v1/payments/{payment['id']}")
    await api.shop.get("/v1/nothing/here")
    text = (await api.nobody.get("/metrics")).body.decode()
    assert 'oncepay_requests_total{method="GET",path="/v1/payments/{payment}",status="200"}' in text
    assert 'oncepay_requests_total{method="",path="",status="404"}' in text
    assert 'oncepay_store{what="payments_due"}' in text
    assert payment["id"] not in text
    assert "nothing" not in text


# -- about itself ------------------------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    """What a page fetches, runs, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: list[str] = []
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        named = dict(attrs)
        self.links += [value for name, value in attrs if name in {"href", "src"} and value]
        if named.get("id"):
            self.ids.add(str(named["id"]))
        assert not [name for name in named if name.startswith("on") or name == "style"]


async def test_the_page_tells_all_routes_and_fetches_nothing(api: Api) -> None:
    said = await api.nobody.get("/docs")
    text = said.body.decode()
    page = Page()
    page.feed(text)
    assert not page.tags & {"script", "img", "iframe", "form", "object", "link"}
    assert "default-src 'none'" in said.headers["content-security-policy"]
    for link in page.links:
        assert link == "/openapi.json" or link.removeprefix("#") in page.ids
    for resource in (*RESOURCES, *about()):
        assert resource.path in text
    assert (await api.nobody.get("/")).headers["location"] == "/docs"


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


async def test_the_document_is_complete_and_leads_nowhere_else(api: Api) -> None:
    said = await api.nobody.get("/openapi.json")
    document = said.json
    assert document["openapi"].startswith("3.1")
    served = {(resource.path, method.lower()) for resource in (*RESOURCES, *about()) for method in resource.verbs}
    told = {(path, method) for path, verbs in document["paths"].items() for method in verbs}
    assert told == served
    operations = [verb for verbs in document["paths"].values() for verb in verbs.values()]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for reference in set(references(document)):
        at = document
        for part in reference.removeprefix("#/").split("/"):
            at = at[part]
    for path, verbs in document["paths"].items():
        for operation in verbs.values():
            told_names = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
            assert told_names == set(re.findall(r"\{(\w+)\}", path))
            assert operation["description"]
            if operation["security"]:
                assert {"401", "500", "503"} <= set(operation["responses"])


async def test_a_shop_on_this_machine_needs_no_tls(api: Api) -> None:
    urls = ("http://localhost", "http://localhost:3000", "http://127.0.0.1:80/", "http://[::1]/x?y#z")
    for n, url in enumerate(urls):
        made = await api.shop.post("/v1/payments", {**TEA, "order_no": f"B-9-{n}", "return_url": url})
        assert made.status == 201, made.json


DOCS = Path(__file__).parents[2] / "docs"
GUIDE = (DOCS / "http-api.md").read_text()


@pytest.mark.parametrize("resource", RESOURCES, ids=lambda resource: resource.path)
async def test_the_guide_leaves_no_route_out(resource: Resource) -> None:
    for method in resource.verbs:
        told = f"{method} {resource.path}" if "{" in resource.path else resource.path
        assert re.search(re.escape(told) + r"[`\s?]", GUIDE), told


async def test_the_guide_lists_every_code_under_its_status() -> None:
    rows = dict(re.findall(r"^\| (\d{3}) \| (.*) \|$", GUIDE.partition("## Refusals")[2], re.MULTILINE))
    told = {(int(status), code) for status, codes in rows.items() for code in re.findall(r"`(\w+)`", codes)}
    meant = {(family_of_class(kind).status, kind.code) for kind in told_to_apps()}
    meant = meant - {(404, "account_absent")} | {(422, "account_absent")}  # only bodies name accounts
    assert told == meant


async def test_the_vectors_hold_every_code_and_no_other() -> None:
    """A client that is written by them meets no code that they lack, and handles none that never comes."""
    told = {(one["status"], one["code"]) for one in json.loads((DOCS / "wire.json").read_text())["refusals"]}
    rows = {kind.code for kind in told_to_apps()}
    assert {code for _, code in told} == rows
    assert (422, "account_absent") in told


def families(kind: type[OncepayError]) -> Iterator[type[OncepayError]]:
    for below in kind.__subclasses__():
        yield below
        yield from families(below)


def told_to_apps() -> list[type[OncepayError]]:
    """Those that an answer may carry; what other rooms raise while a centre starts never gets here, nor do a mere
    family and what only commands look for."""
    rooms = {"oncepay.domain.errors", "oncepay.http.problem"}
    never = {errors.Absent, errors.AppAbsent}
    return [kind for kind in families(OncepayError) if kind.__module__ in rooms and kind not in never]


async def test_every_error_has_a_code_of_its_own_and_a_status() -> None:
    codes = [kind.code for kind in told_to_apps()]
    assert len(set(codes)) == len(codes)
    for kind in told_to_apps():
        family = family_of_class(kind)
        assert 400 <= family.status < 600
        assert (family.status == 500) == (kind.code == "internal"), "a fault of ours is nothing that we foresee"
        assert kind.retry == (family.retry_after_s > 0 or kind.code == "internal")
    assert family_of_class(errors.CommitUnknown).outcome == "unknown"
    assert family_of_class(errors.ChannelSilent).outcome == "unknown"


async def test_nothing_about_money_in_doubt_is_called_a_failure(api: Api, monkeypatch: Any) -> None:
    """What the store or the network leaves open is ``unknown``: repeating tells."""
    answers: list[Said] = []
    raised: OncepayError
    for raised in (
        errors.CommitUnknown(),
        errors.Unavailable(),
        errors.Overloaded(),
        errors.Busy(),
    ):

        async def doubtful(*_args: object, _raised: OncepayError = raised, **_more: object) -> None:
            raise _raised

        with monkeypatch.context() as patched:
            patched.setattr("oncepay.engine.pay.create", doubtful)
            answers.append(await api.shop.post("/v1/payments", {**TEA, "order_no": "DOUBT"}))
    assert {(said.json["outcome"], said.json["retry"]) for said in answers} == {("unknown", True)}
    assert [said.status for said in answers] == [503, 503, 503, 409]
    assert all(int(said.headers["retry-after"]) >= 1 for said in answers)
