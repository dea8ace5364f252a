"""Refunds over the API: the ceiling, the natural key, the ways to read them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from tests.wire.api import TEA, Api, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


async def test_a_refund_is_taken_on_and_told_when_it_is_done(api: Api) -> None:
    payment = await api.paid("R-1")
    path = f"/v1/payments/{payment['id']}"
    said = await api.shop.post(f"{path}/refunds", {"refund_no": "R-1-1", "minor": 3000, "note": "One cup"})
    refund = said.json
    assert (said.status, refund["status"], refund["origin"], refund["note"]) == (201, "open", "app", "One cup")
    assert len(refund["tries"]) == 1
    await api.town.passes(60)
    read = await api.shop.get(f"/v1/refunds/{refund['id']}")
    assert (read.status, read.json["id"], read.json["status"]) == (200, refund["id"], "done")
    assert (await api.shop.get(f"{path}/refunds/R-1-1")).json == read.json
    assert (await api.shop.get(f"{path}/refunds")).json["data"] == [read.json]
    shown = (await api.shop.get(path)).json
    assert (shown["kept_minor"], shown["refunds"][0]["refund_no"]) == (5800, "R-1-1")
    assert len(shown["attempts"]) == 1, "tries of refunds stand with their refund"
    assert api.town.shop.told("R-1") == ["paid", "refund.opened", "refund.done"]


async def test_the_same_refund_again_is_the_same_refund(api: Api) -> None:
    payment = await api.paid("R-2")
    path = f"/v1/payments/{payment['id']}/refunds"
    body = {"refund_no": "R-2-1", "minor": 100}
    first = await api.shop.post(path, body)
    again = await api.shop.post(path, {**body, "note": "other words"})
    assert (first.status, again.status) == (201, 200)
    assert ("oncepay-replayed" in first.headers, again.headers["oncepay-replayed"]) == (False, "true")
    assert again.json == first.json
    said = await asyncio.gather(*(api.shop.post(path, {**body, "refund_no": "R-2-2"}) for _ in range(5)))
    assert {s.status for s in said} <= {200, 201}
    assert len({s.json["id"] for s in said}) == 1
    other = await api.shop.post(path, {**body, "minor": 101})
    assert (other.status, other.json["code"], other.json["field"]) == (409, "key_reused", "minor")
    assert (other.json["pointer"], other.json["outcome"]) == ("#/minor", "not_sent")
    await api.town.passes(120)
    assert api.town.refunds_in_books(await api.engine.load(payment["id"][4:])) == [100, 100]


async def test_no_more_goes_back_than_is_kept(api: Api) -> None:
    payment = await api.paid("R-3")
    path = f"/v1/payments/{payment['id']}/refunds"
    said = await asyncio.gather(*(api.shop.post(path, {"refund_no": f"R-3-{n}", "minor": 3000}) for n in range(4)))
    assert sorted(s.status for s in said) == [201, 201, 409, 409]
    refused = next(s.json for s in said if s.status == 409)
    assert (refused["code"], refused["field"], refused["kept_minor"]) == ("refund_too_large", "minor", 2800)
    assert refused["outcome"] == "not_sent"


async def test_what_is_not_paid_cannot_be_refunded(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": "R-4"})).json
    said = await api.shop.post(f"/v1/payments/{payment['id']}/refunds", {"refund_no": "R-4-1", "minor": 1})
    assert (said.status, said.json["code"]) == (409, "payment_unpaid")
    assert (said.json["status"], said.json["payment_status"]) == (409, "open")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"refund_no": "a b"}, "refund_no"),
        ({"refund_no": ""}, "refund_no"),
        ({"refund_no": "x\n"}, "refund_no"),
        ({"minor": 0}, "minor"),
        ({"minor": -1}, "minor"),
        ({"minor": "1"}, "minor"),
        ({"minor": 1.0}, "minor"),
        ({"minor": 2**63}, "minor"),
        ({"note": "x" * 81}, "note"),
        ({"note": 1}, "note"),
        ({"note": "\0"}, "note"),
        ({"amount": 1}, "amount"),
    ],
)
async def test_a_refund_with_one_wrong_field_is_refused_by_its_name(
    api: Api, change: dict[str, Any], field: str
) -> None:
    made = await api.shop.post("/v1/payments", {**TEA, "order_no": "R-5"})
    said = await api.shop.post(f"/v1/payments/{made.json['id']}/refunds", {"refund_no": "R-5-1", "minor": 1, **change})
    assert (said.status, said.json["field"], said.json["outcome"]) == (422, field, "not_sent")


async def test_refunds_that_are_not_there(api: Api) -> None:
    payment = await api.paid("R-6")
    made = (await api.shop.post(f"/v1/payments/{payment['id']}/refunds", {"refund_no": "R-6-1", "minor": 1})).json
    wrong = made["id"][:-1] + ("0" if made["id"][-1] != "0" else "1")
    for target in (
        f"/v1/payments/{payment['id']}/refunds/nope",
        f"/v1/payments/{payment['id']}/refunds/%00",
        f"/v1/refunds/{wrong}",
        "/v1/refunds/ref_",
        f"/v1/refunds/{made['id'][4:]}",
        f"/v1/refunds/{made['id']}0",
        f"/v1/refunds/{made['id'].lower()}",
        f"/v1/refunds/{payment['id']}",
    ):
        said = await api.shop.get(target)
        assert (said.status, said.json["code"]) == (404, "refund_absent"), target


async def test_money_that_was_not_owed_is_listed_when_it_is_back(api: Api) -> None:
    """Paid after closing: it goes back by itself, and the app sees it as a refund that it did not ask for."""
    body = {**TEA, "order_no": "R-7", "attempt": {"channel": "wechat", "method": "native"}}
    payment = (await api.shop.post("/v1/payments", body)).json
    api.town.faults({"fault": "pay_after_close"})
    await api.shop.post(f"/v1/payments/{payment['id']}/close", {"if_paid": "refund"})
    api.town.sandbox.pay(payment["attempt"]["id"][4:])
    await api.town.quiet()
    path = f"/v1/payments/{payment['id']}/refunds"
    assert (await api.shop.get(path)).json["data"] == [], "not before the money is back"
    await api.town.passes(3600)
    (refund,) = (await api.shop.get(path)).json["data"]
    assert (refund["origin"], refund["status"], refund["minor"]) == ("surplus", "done", 8800)
    assert (await api.shop.get(f"/v1/refunds/{refund['id']}")).json == refund
