"""Cases by the API: what an app sees of them, what it may do, and what is kept of what it did."""

from __future__ import annotations

import json
from typing import Any

import pytest

from oncepay.domain.change import CaseOpened
from oncepay.domain.errors import Unavailable
from tests.wire.api import NATIVE, TEA, Api, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

WHY = {"reason": "The payer sent a screenshot."}
SHOWN = {**WHY, "evidence": "The console shows it."}


@pytest.fixture
async def api() -> Any:
    async with open_api() as api:
        yield api


async def wrongly_told(api: Api, order_no: str = "C-1", amount: int = 1) -> tuple[str, dict[str, Any]]:
    """A payment, and its case: a validly signed notification says that another amount was paid."""
    said = await api.shop.post("/v1/payments", {**TEA, "order_no": order_no, "attempt": NATIVE})
    api.town.faults({"fault": "notify_wrong_amount", "amount": amount})
    api.town.sandbox.pay(said.json["attempt"]["id"].removeprefix("att_"))
    await api.town.quiet()
    (case,) = (await api.shop.get(f"/v1/cases?payment={said.json['id']}")).json["data"]
    return said.json["id"], case


async def opened(api: Api, kind: str, order_no: str = "C-1", **data: Any) -> str:
    """The path of a case about a payment without attempts."""
    payment = (await api.shop.post("/v1/payments", {**TEA, "order_no": order_no})).json["id"][4:]
    case = CaseOpened(about=payment, kind=kind, text="Look.", payment_id=payment, data=data)
    return f"/v1/cases/case_{await api.engine.ledger.open_case(case, api.town.now_ms)}"


async def test_a_case_says_how_old_it_is_what_is_at_risk_and_what_comes_by_itself(api: Api) -> None:
    payment, case = await wrongly_told(api)
    assert (case["payment"], case["kind"], case["status"], case["seen"]) == (payment, "wrong_content", "open", 1)
    assert case["at_risk"] == {"minor": 1, "currency": "CNY"}
    assert case["by_itself"].startswith("The attempt is followed as ever.")
    assert (case["next"]["what"], case["next"]["why"]) == ("query", "the timetable")
    assert case["due_ms"] == 1_800_000_000_000 + (365 - 30) * 86_400_000, "when the money goes back"
    assert case["age_ms"] == 0
    api.town.sandbox.advance(7)
    assert (await api.shop.get("/v1/cases")).json["data"][0]["age_ms"] == 7_000
    seen = (await api.shop.get(f"/v1/cases/{case['id']}")).json
    (evidence,) = seen["evidence"][-1:]
    assert (evidence["fact"], evidence["minor"], evidence["account"], evidence["wrong"]) == (
        "moved", 1, "wx", "minor is 1, not 8800",
    )  # fmt: skip
    assert evidence["trade_no"] == case["data"]["trade_no"] != ""
    assert seen["acts"] == []


async def test_what_was_accepted_is_seen_with_who_and_why_by_the_case_and_in_the_story(api: Api) -> None:
    payment, case = await wrongly_told(api)
    path = f"/v1/cases/{case['id']}"
    api.town.faults({"fault": "drop_before", "call": "query"})  # the channel, asked first, does not say what is true
    said = await api.shop.post(f"{path}/accept", {**SHOWN, "actor": "Ann"})
    assert (said.status, said.json["status"], said.json["note"]) == (200, "resolved", WHY["reason"])
    assert "oncepay-replayed" not in said.headers
    (act,) = said.json["acts"]
    assert (act["verb"], act["actor"], act["reason"], act["evidence"]) == (
        "accept", "app:shop Ann", WHY["reason"], SHOWN["evidence"],
    )  # fmt: skip
    assert "0.01 CNY did arrive" in act["did"]
    assert (said.json["by_itself"], said.json["next"], said.json["due_ms"]) == ("", None, None)
    paid = (await api.shop.get(f"/v1/payments/{payment}")).json
    assert (paid["status"], paid["kept_minor"], paid["minor"], paid["paid"]["minor"]) == ("paid", 1, 8800, 1)
    again = await api.shop.post(f"{path}/accept", {**SHOWN, "actor": "Ann"})
    assert (again.status, again.headers["oncepay-replayed"]) == (200, "true")
    assert again.json["acts"] == said.json["acts"], "nothing was done, so nothing is recorded"
    story = (await api.shop.get(f"/v1/payments/{payment}/timeline")).json["timeline"]
    (told,) = [entry for entry in story if entry["what"] == "case.accepted"]
    assert (told["actor"], told["did"], told["attempt"]) == ("app:shop Ann", act["did"], act["attempt"])
    assert [entry["wrong"] for entry in story if entry.get("wrong")] == ["minor is 1, not 8800"]


async def test_a_case_is_noted_and_resolved_once(api: Api) -> None:
    path = await opened(api, "unsettled")
    assert "oncepay-replayed" not in (await api.shop.post(f"{path}/note", WHY)).headers
    api.town.sandbox.advance(1)
    assert (await api.shop.post(f"{path}/note", WHY)).headers["oncepay-replayed"] == "true"
    await api.shop.post(f"{path}/note", {"reason": "Called them."})
    api.town.sandbox.advance(1)
    resolved = await api.shop.post(f"{path}/resolve", {"reason": "Nothing moved."})
    assert (resolved.status, resolved.json["status"], resolved.json["note"]) == (200, "resolved", "Nothing moved.")
    again = await api.shop.post(f"{path}/resolve", {"reason": "Nothing moved."})
    assert (again.status, again.headers["oncepay-replayed"]) == (200, "true")
    other = await api.shop.post(f"{path}/resolve", {"reason": "Something else."})
    assert (other.status, other.json["code"], other.json["outcome"]) == (409, "conflict", "not_sent")
    assert [act["verb"] for act in (await api.shop.get(path)).json["acts"]] == ["note", "note", "resolve"]
    assert (await api.shop.get("/v1/cases")).json["data"] == []
    for status in ("resolved", "all"):
        assert [row["id"] for row in (await api.shop.get(f"/v1/cases?status={status}")).json["data"]] == [path[10:]]
    assert (await api.shop.post(f"{path}/note", {"reason": "Later."})).status == 200, "a note is never too late"


async def test_what_was_done_is_said_to_be_done_where_it_cannot_be_read_back(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any) -> Any:
        raise Unavailable("the database does not answer")

    path = await opened(api, "unsettled")
    with monkeypatch.context() as patched:
        patched.setattr(api.engine.ledger, "acts", away)
        said = await api.shop.post(f"{path}/resolve", WHY)
    assert (said.status, said.json["code"]) == (503, "unavailable")
    assert said.json["detail"].startswith("It was done")
    assert (await api.shop.get(path)).json["status"] == "resolved"
    assert (await api.shop.post(f"{path}/resolve", WHY)).headers["oncepay-replayed"] == "true"


@pytest.mark.parametrize(
    ("verb", "says"),
    [
        ("query", "nothing of it is in doubt"),
        ("close", "nothing of it is in doubt"),
        ("accept", "no attempt of this payment"),
        ("refund", "no channel has said"),
        ("settle", "nothing of this payment is left to settle"),
        ("retry", "no refund of ours"),
    ],
)
async def test_a_verb_that_makes_no_sense_is_refused_with_the_reason_and_leaves_no_trace(
    api: Api, verb: str, says: str
) -> None:
    path = await opened(api, "unsettled")
    before = (await api.shop.get(path)).json
    body = SHOWN if verb in {"accept", "settle"} else WHY
    said = await api.shop.post(f"{path}/{verb}", body)
    assert (said.status, said.json["code"], said.json["retry"], said.json["outcome"]) == (
        409, "verb_unfit", False, "not_sent",
    )  # fmt: skip
    assert says in said.json["detail"]
    assert (await api.shop.get(path)).json == before


VERBS = ["query", "close", "accept", "refund", "settle", "retry", "note", "resolve"]
WRONG: list[tuple[str, Any]] = [
    ("reason", None), ("reason", ""), ("reason", "  \n"), ("reason", 7), ("reason", "x" * 2001), ("reason", "a\0"),
    ("actor", 7), ("actor", None), ("actor", "x" * 65), ("actor", "Ann\nBob"), ("actor", "a\0"),
    ("verb", "accept"), ("app", "other"), ("at_ms", 1),
]  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
async def test_a_body_with_one_mistake_is_refused_by_its_name(api: Api, verb: str) -> None:
    path = await opened(api, "unsettled")
    good = {**SHOWN, "actor": "Ann"} if verb in {"accept", "settle"} else {**WHY, "actor": "Ann"}
    more: dict[str, list[tuple[str, Any]]] = {
        "close": [("cancel", 1), ("cancel", "yes")],
        "refund": [("minor", 0), ("minor", "1"), ("minor", 1.0), ("minor", 2**53), ("evidence", "x")],
    }
    stated = [
        ("evidence", 1), ("evidence", "x" * 2001), ("evidence", ""), ("evidence", " "), ("trade_no", "a b"),
        ("trade_no", "x" * 65), ("trade_no", "n\n"), ("minor", -1), ("minor", None), ("minor", True),
    ]  # fmt: skip
    for field, value in [*WRONG, *more.get(verb, []), *(stated if verb in {"accept", "settle"} else [])]:
        said = await api.shop.post(f"{path}/{verb}", {**good, field: value})
        assert (said.status, said.json["code"]) == (422, "invalid"), (field, value, said.body)
        assert (said.json["field"], said.json["pointer"]) == (field, f"#/{field}"), (field, value)
    left_out = {name: value for name, value in good.items() if name != "reason"}
    assert (await api.shop.post(f"{path}/{verb}", left_out)).json["field"] == "reason"
    assert (await api.shop.get(path)).json["acts"] == []


async def test_the_channel_is_asked_now_and_what_it_says_counts(api: Api) -> None:
    """The notification lied; a question brings the truth, and the case is then of the past."""
    payment, case = await wrongly_told(api)
    said = await api.shop.post(f"/v1/cases/{case['id']}/query", WHY)
    assert (said.status, said.json["status"]) == (200, "open")
    assert [act["verb"] for act in said.json["acts"]] == ["query"]
    assert [known["fact"] for known in said.json["evidence"]][-1] == "moved"
    assert (await api.shop.get(f"/v1/payments/{payment}")).json["status"] == "paid"
    refused = await api.shop.post(f"/v1/cases/{case['id']}/refund", WHY)
    assert (refused.status, refused.json["code"]) == (409, "verb_unfit")
    assert "has succeeded already: 88.00 CNY" in refused.json["detail"]


async def test_cancelling_is_refused_where_the_channel_cannot(api: Api) -> None:
    _, case = await wrongly_told(api)
    said = await api.shop.post(f"/v1/cases/{case['id']}/close", {**WHY, "cancel": True})
    assert (said.status, said.json["code"]) == (409, "verb_unfit")
    assert "no call that cancels" in said.json["detail"]


async def test_cases_about_no_payment_are_not_for_apps(api: Api) -> None:
    """Money that cannot be placed belongs to an account, and an account to the operator."""
    case = CaseOpened(about="wx:nobody", kind="unplaced_money", text="Whose is it?", account="wx")
    case_id = await api.engine.ledger.open_case(case, api.town.now_ms)
    assert json.dumps((await api.shop.get("/v1/cases?status=all")).json).count(case_id) == 0
    assert (await api.shop.get(f"/v1/cases/case_{case_id}")).status == 404
    for verb in VERBS:
        body = SHOWN if verb in {"accept", "settle"} else WHY
        said = await api.shop.post(f"/v1/cases/case_{case_id}/{verb}", body)
        assert (said.status, said.json["code"]) == (404, "case_absent")
