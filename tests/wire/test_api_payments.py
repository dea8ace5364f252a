"""Payments over the API, against the real sandbox: created, switched, waited for, closed, found again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from oncepay.domain.change import Fault
from oncepay.engine import admin
from oncepay.engine.pauses import use_of
from oncepay.sandbox.wechat.wire import Refusal
from tests.wire.api import NATIVE, TEA, Api, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"], loop_scope="module")

OPENID = "oTEST-0000000000000000000001"
JSAPI = {"channel": "wechat", "method": "jsapi", "payer": {"openid": OPENID}}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


def tea(order_no: str, **more: Any) -> dict[str, Any]:
    return {**TEA, "order_no": order_no, **more}


async def test_a_payment_without_an_attempt_waits_to_be_paid(api: Api) -> None:
    said = await api.shop.post("/v1/payments", tea("P-1"))
    payment = said.json
    assert said.status == 201
    assert (payment["status"], payment["version"], payment["attempts"], payment["attempt"]) == ("open", 0, [], None)
    assert payment["deadline_ms"] == payment["created_ms"] + 7_200_000
    read = await api.shop.get(f"/v1/payments/{payment.pop('id')}")
    assert (read.status, read.json.pop("status")) == (200, "open")
    head = await api.shop.call("HEAD", f"/v1/payments/{read.json['id']}")
    assert (head.status, head.body, head.headers["content-length"]) == (200, b"", str(len(read.body)))


async def test_the_first_attempt_comes_with_what_the_payer_scans(api: Api) -> None:
    said = await api.shop.post("/v1/payments", tea("P-2", attempt=NATIVE))
    attempt = said.json["attempt"]
    assert said.status == 201
    assert attempt["credential"]["code_url"].startswith("weixin://")
    assert attempt["credential_until_ms"] > api.town.now_ms
    assert (attempt["status"], attempt["account"], attempt["risk"]) == ("sent", "wx", None)
    assert [a["id"] for a in said.json["attempts"]] == [attempt["id"]]


async def test_the_same_again_is_the_same_payment_and_says_so(api: Api) -> None:
    first = await api.shop.post("/v1/payments", tea("P-3", attempt=NATIVE))
    again = await api.shop.post("/v1/payments", tea("P-3", attempt=NATIVE, subject="Tea, with milk"))
    assert (first.status, again.status) == (201, 200)
    assert "oncepay-replayed" not in first.headers
    assert again.headers["oncepay-replayed"] == "true"
    assert again.json == first.json
    by_attempts = await api.shop.post(f"/v1/payments/{first.json['id']}/attempts", NATIVE)
    assert (by_attempts.status, by_attempts.headers["oncepay-replayed"]) == (200, "true")
    assert by_attempts.json == first.json
    differing: list[tuple[dict[str, Any], str]] = [({"minor": 8801}, "minor"), ({"currency": "USD"}, "currency")]
    for amount, field in differing:
        other = await api.shop.post("/v1/payments", tea("P-3", amount={"minor": 8800, "currency": "CNY", **amount}))
        problem = other.json
        assert (other.status, problem["code"], problem["outcome"]) == (409, "key_reused", "not_sent")
        assert (problem["field"], problem["pointer"]) == (f"amount.{field}", f"#/amount/{field}")
        assert problem["order_no"] == "P-3"


async def test_the_same_again_is_the_same_payment_also_when_it_could_not_be_made_now(api: Api) -> None:
    """An app that was away: since then it was paid, its time to pay has passed, its account was retired."""
    asked = tea("P-3b", attempt=NATIVE, deadline_ms=api.town.now_ms + 600_000)
    first = await api.shop.post("/v1/payments", asked)
    api.town.sandbox.pay(first.json["id"].removeprefix("pay_") + "00")
    await api.town.passes(3_600)
    await admin.retire_account(api.town.engine, "wx")
    try:
        again = await api.shop.post("/v1/payments", asked)
        other = await api.shop.post("/v1/payments", {**asked, "amount": {"minor": 8801, "currency": "CNY"}})
        new = await api.shop.post("/v1/payments", {**asked, "order_no": "P-3c"})
    finally:
        await admin.reopen_account(api.town.engine, "wx")
    assert (again.status, again.headers.get("oncepay-replayed")) == (200, "true")
    assert (again.json["id"], again.json["status"]) == (first.json["id"], "paid")
    assert (other.status, other.json["code"]) == (409, "key_reused")
    assert new.status == 422, "what is not there yet is refused as before"


async def test_the_same_order_number_of_another_app_is_another_payment(api: Api) -> None:
    ours = await api.shop.post("/v1/payments", tea("P-4"))
    theirs = await api.other.post("/v1/payments", tea("P-4", amount={"minor": 1, "currency": "CNY"}))
    assert (ours.status, theirs.status) == (201, 201)
    assert ours.json["id"] != theirs.json["id"]


async def test_submitted_many_times_at_once_there_is_one_payment(api: Api) -> None:
    said = await asyncio.gather(*(api.shop.post("/v1/payments", tea("P-5", attempt=NATIVE)) for _ in range(8)))
    assert sorted(s.status for s in said) == [200] * 7 + [201]
    assert len({s.json["attempt"]["credential"]["code_url"] for s in said}) == 1
    assert len([row for row in api.town.sandbox.books() if row.number.startswith(said[0].json["id"][4:])]) == 1


async def test_while_the_channel_does_not_answer_nothing_is_called_a_failure(api: Api) -> None:
    api.town.faults(http_502=1.0)
    said = await api.shop.post("/v1/payments", tea("P-6", attempt=NATIVE))
    again = await api.shop.post("/v1/payments", tea("P-6", attempt=NATIVE))
    api.town.faults()
    assert (said.status, again.status) == (202, 202)
    assert said.json["attempt"]["credential"] is None
    assert said.json["attempt"]["status"] == "unknown"
    await api.town.passes(60)
    later = await api.shop.post("/v1/payments", tea("P-6", attempt=NATIVE))
    assert later.status == 200
    assert later.json["attempt"]["id"] == said.json["attempt"]["id"]
    assert later.json["attempt"]["credential"] is not None


async def test_what_the_channel_refuses_for_good_is_told_with_the_payment(api: Api, monkeypatch: Any) -> None:
    def too_particular(_shape: object) -> None:
        raise Refusal(400, "PARAM_ERROR", "no")

    with monkeypatch.context() as patched:
        patched.setattr("oncepay.sandbox.wechat.shapes.check_prepay", too_particular)
        said = await api.shop.post("/v1/payments", tea("P-7", attempt=NATIVE))
    assert said.status == 402, said.body
    problem = said.json
    assert (problem["code"], problem["outcome"], problem["retry"]) == ("channel_refused", "failed", False)
    read = await api.shop.get(f"/v1/payments/{problem['payment']}")
    assert read.json["status"] == "open"
    assert [(a["status"], a["reason"]) for a in read.json["attempts"]] == [("over", "refused")]
    assert problem["attempt"] == read.json["attempts"][0]["id"]


async def test_another_way_to_pay_closes_the_first(api: Api) -> None:
    first = (await api.shop.post("/v1/payments", tea("P-8", attempt=NATIVE))).json
    said = await api.shop.post(f"/v1/payments/{first['id']}/attempts", JSAPI)
    assert said.status == 201
    assert "oncepay-replayed" not in said.headers
    assert [(a["method"], a["status"]) for a in said.json["attempts"]] == [("native", "over"), ("jsapi", "sent")]
    assert said.json["attempt"]["method"] == "jsapi"


async def test_a_switch_after_paying_finds_the_payment_paid(api: Api) -> None:
    first = (await api.shop.post("/v1/payments", tea("P-9", attempt=NATIVE))).json
    api.town.faults({"fault": "notify_none"})
    api.town.sandbox.pay(first["attempt"]["id"][4:])
    said = await api.shop.post(f"/v1/payments/{first['id']}/attempts", JSAPI)
    assert (said.status, said.json["code"], said.json["outcome"]) == (409, "payment_paid", "not_sent")
    assert (await api.shop.get(f"/v1/payments/{first['id']}")).json["status"] == "paid"


async def test_waiting_ends_when_the_payment_changes_and_not_before(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", tea("P-10", attempt=NATIVE))).json
    waiting = asyncio.create_task(api.shop.get(f"/v1/payments/{payment['id']}?wait=25&version=0"))
    plain = asyncio.create_task(api.shop.get(f"/v1/payments/{payment['id']}?wait=25"))
    while len(api.engine.hub._waiting.get(payment["id"][4:], ())) < 2:  # noqa: ASYNC110 - both must be waiting
        await asyncio.sleep(0)
    api.town.sandbox.pay(payment["attempt"]["id"][4:])
    for said in (await waiting, await plain):
        assert (said.json["status"], said.json["version"]) == ("paid", 1)
    at_once = await api.shop.get(f"/v1/payments/{payment['id']}?wait=25&version=0")
    assert at_once.json["version"] == 1


async def test_waiting_for_what_another_process_commits_looks_by_itself(api: Api, monkeypatch: Any) -> None:
    monkeypatch.setattr("oncepay.http.payments.LOOK_S", 0.01)
    payment = (await api.shop.post("/v1/payments", tea("P-11", attempt=NATIVE))).json
    monkeypatch.setattr(api.engine.hub, "wake", lambda _id: None)
    waiting = asyncio.create_task(api.shop.get(f"/v1/payments/{payment['id']}?wait=25"))
    api.town.sandbox.pay(payment["attempt"]["id"][4:])
    assert (await waiting).json["status"] == "paid"


async def test_a_wait_without_news_ends(api: Api, monkeypatch: Any) -> None:
    payment = (await api.shop.post("/v1/payments", tea("P-12"))).json
    said = await api.shop.get(f"/v1/payments/{payment['id']}?wait=1&version=7")
    assert (said.status, said.json["version"]) == (200, 0)


async def test_a_fresh_answer_is_the_channels(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", tea("P-13", attempt=NATIVE))).json
    api.town.faults({"fault": "notify_none"})
    api.town.sandbox.pay(payment["attempt"]["id"][4:])
    assert (await api.shop.get(f"/v1/payments/{payment['id']}")).json["status"] == "open"
    assert (await api.shop.get(f"/v1/payments/{payment['id']}?fresh=true")).json["status"] == "paid"


async def test_closing_reopening_and_amending(api: Api) -> None:
    payment = (await api.shop.post("/v1/payments", tea("P-14", attempt=NATIVE))).json
    path = f"/v1/payments/{payment['id']}"
    refused = await api.shop.post(f"{path}/amend", {"minor": 1})
    assert (refused.status, refused.json["code"]) == (409, "attempt_live")
    closed = await api.shop.call("POST", f"{path}/close")
    assert (closed.status, closed.json["status"], closed.json["closed"]["why"]) == (200, "closed", "asked")
    assert (await api.shop.post(f"{path}/close", {"if_paid": "refund"})).json["status"] == "closed"
    refused = await api.shop.post(f"{path}/attempts", NATIVE)
    assert (refused.status, refused.json["code"]) == (409, "payment_closed")
    for bad in (0, 1, 1_900_000_000_000_000):
        refused = await api.shop.post(f"{path}/reopen", {"deadline_ms": bad})
        assert (refused.status, refused.json["field"], refused.json["pointer"]) == (422, "deadline_ms", "#/deadline_ms")
    deadline_ms = api.town.now_ms + 3_600_000
    reopened = await api.shop.post(f"{path}/reopen", {"deadline_ms": deadline_ms})
    assert (reopened.status, reopened.json["status"], reopened.json["deadline_ms"]) == (200, "open", deadline_ms)
    assert (await api.shop.post(f"{path}/reopen", {"deadline_ms": deadline_ms})).json == reopened.json
    refused = await api.shop.post(f"{path}/reopen", {"deadline_ms": deadline_ms + 1})
    assert (refused.status, refused.json["code"]) == (409, "payment_open")
    amended = await api.shop.post(f"{path}/amend", {"minor": 4400, "deadline_ms": deadline_ms + 1000})
    assert (amended.json["minor"], amended.json["deadline_ms"]) == (4400, deadline_ms + 1000)
    assert (await api.shop.post(f"{path}/amend", {})).json == amended.json
    started = await api.shop.post(f"{path}/attempts", NATIVE)
    assert started.json["attempt"]["minor"] == 4400
    events = (await api.shop.get(f"{path}/events")).json["data"]
    assert [event["changes"] for event in events] == [["closing"], ["closed"], ["reopened"], ["amended"]]
    assert events[-1]["data"]["minor"] == 4400
    assert [event["version"] for event in events] == [1, 2, 3, 4]


async def test_payments_are_listed_newest_first_a_page_at_a_time(api: Api) -> None:
    made = []
    first_ms = api.town.now_ms + 1000
    for number in range(5):
        api.town.sandbox.advance(1)
        made.append((await api.other.post("/v1/payments", tea(f"L-{number}"))).json["id"])
    await api.other.post(f"/v1/payments/{made[2]}/close", {})
    after, seen = "", []
    while True:
        page = (await api.other.get(f"/v1/payments?limit=2&since_ms={first_ms}&after={after}")).json
        assert len(page["data"]) <= 2
        seen += [payment["id"] for payment in page["data"]]
        after = page["next"]
        if after is None:
            break
    assert seen == made[::-1]

    async def ids(query: str) -> list[str]:
        return [payment["id"] for payment in (await api.other.get(f"/v1/payments?{query}")).json["data"]]

    assert await ids(f"status=closed&since_ms={first_ms}") == [made[2]]
    assert await ids("order_no=L-3") == [made[3]]
    assert await ids("order_no=NONE") == []
    assert await ids(f"since_ms={first_ms + 3000}") == made[:2:-1]
    assert await ids(f"since_ms={first_ms}&until_ms={first_ms + 1000}") == [made[0]]
    assert await ids("until_ms=0") == []


async def test_a_payment_is_found_by_the_channels_own_number(api: Api) -> None:
    payment = await api.paid("P-15")
    trade_no = payment["paid"]["trade_no"]
    found = (await api.shop.get(f"/v1/payments?trade_no={trade_no}")).json
    assert found == {"data": [payment], "next": None}
    assert (await api.shop.get(f"/v1/payments?trade_no={trade_no}&status=open")).json["data"] == []
    assert (await api.shop.get(f"/v1/payments?trade_no={trade_no}&order_no=P-15")).json["data"] == [payment]
    assert (await api.other.get(f"/v1/payments?trade_no={trade_no}")).json["data"] == []
    assert (await api.shop.get("/v1/payments?trade_no=4200000000")).json["data"] == []


async def test_the_timeline_tells_the_whole_story(api: Api) -> None:
    payment = await api.paid("P-16")
    story = (await api.shop.get(f"/v1/payments/{payment['id']}/timeline")).json
    words = [entry["what"] for entry in story["timeline"]]
    assert words[0] == "payment.created"
    assert {"attempt.started", "credential.shown", "evidence.taken", "attempt.succeeded", "event.written"} <= set(words)
    assert story["explain"]["status"] == "paid"
    assert story["payment"] == payment["id"]


async def test_an_account_that_the_channel_turns_away_is_said_to_be_tried_later(api: Api) -> None:
    api.engine.pauses.pause("wx", use_of("prepay", "native"), Fault.ACCOUNT, api.town.now_ms + 7_400)
    said = await api.shop.post("/v1/payments", tea("P-17", attempt=NATIVE))
    api.engine.pauses.lift("wx")
    assert (said.status, said.json["code"], said.json["outcome"]) == (503, "account_paused", "not_sent")
    assert said.headers["retry-after"] == "13"
    assert said.json["retry"] is True
