"""What a person does with cases through both clients, over a wire that loses answers: what a repeated verb does, by the
books of the channel."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio

from oncepay.client import Conflict, Unknown
from oncepay.domain.payment import Payment
from tests.client.talkers import KINDS, Kind, Talker, Wire, talking, wired
from tests.spec.test_cases import case_of, failed_refund, wrongly_paid
from tests.wire.api import Api, open_api

pytestmark = pytest.mark.asyncio(loop_factories=["uvloop"])

LOST = ["before", "after"]  # the others are of no other kind: tests/client/test_faults.py
WHY = {"reason": "The bank confirms it.", "actor": "Ann"}
SHOWN = {**WHY, "evidence": "statement 7"}
both = pytest.mark.parametrize("kind", KINDS)
lossy = pytest.mark.parametrize("fate", LOST)


@pytest_asyncio.fixture
async def api() -> AsyncIterator[Api]:
    async with open_api() as api:
        yield api


@asynccontextmanager
async def shopping(api: Api, kind: Kind) -> AsyncIterator[tuple[Talker, Wire]]:
    async with wired(api.engine.settings.public_url) as wire, talking(kind, wire.url, api.town.key) as shop:
        yield shop, wire


async def named(api: Api, kind: str) -> str:
    """The one open case of a kind, as apps name it."""
    return f"case_{(await case_of(api.town, kind)).id}"


async def seen(api: Api, payment: Payment) -> Any:
    return (await api.shop.get(f"/v1/payments/pay_{payment.id}")).json


@both
async def test_a_case_is_seen_noted_and_resolved(api: Api, kind: Kind) -> None:
    payment = await wrongly_paid(api.town, "A-1")
    async with shopping(api, kind) as (shop, _):
        (case,) = await shop.every(lambda c: c.cases.each(payment=f"pay_{payment.id}"))
        assert (case.kind, case.status, case.payment) == ("wrong_content", "open", f"pay_{payment.id}")
        assert (case.at_risk.minor, case.at_risk.currency, case.next.what) == (7700, "CNY", "prepay")
        read = await shop.ask(lambda c: c.cases.get(case.id))
        assert [(known.fact, known.minor) for known in read.evidence][-1] == ("moved", 7700)
        assert (read.acts, read.replayed) == ((), False)
        noted = await shop.ask(lambda c: c.cases.note(case.id, **WHY))
        assert [(act.verb, act.actor, act.reason) for act in noted.acts] == [("note", "app:shop Ann", WHY["reason"])]
        assert (await shop.ask(lambda c: c.cases.note(case.id, **WHY))).replayed is True
        resolved = await shop.ask(lambda c: c.cases.resolve(case.id, reason="Asked the bank."))
        assert (resolved.status, resolved.note, resolved.replayed) == ("resolved", "Asked the bank.", False)
        with pytest.raises(Conflict, match="closed already") as caught:
            await shop.ask(lambda c: c.cases.resolve(case.id, reason="Something else."))
        assert (caught.value.code, caught.value.outcome) == ("conflict", "not_sent")


@both
async def test_what_makes_no_sense_is_refused_with_the_reason(api: Api, kind: Kind) -> None:
    await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    async with shopping(api, kind) as (shop, _):
        for call, says in (
            (lambda c: c.cases.retry(case, **WHY), "no refund of ours"),
            (lambda c: c.cases.close(case, **WHY, cancel=True), "no call that cancels"),
        ):
            with pytest.raises(Conflict, match=says) as caught:
                await shop.ask(call)
            assert (caught.value.code, caught.value.outcome, caught.value.tries) == ("verb_unfit", "not_sent", 1)


@both
@lossy
async def test_money_is_accepted_once_though_the_answer_was_lost(api: Api, kind: Kind, fate: str) -> None:
    payment = await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    async with shopping(api, kind) as (shop, wire):
        wire.next = [fate, fate]
        done = await shop.ask(lambda c: c.cases.accept(case, **SHOWN))
        assert wire.seen == [f"POST /v1/cases/{case}/accept"] * 3
        assert (done.status, done.replayed) == ("resolved", fate != "before")
        assert [act.verb for act in done.acts] == ["accept"]
    told = await seen(api, payment)
    assert (told["status"], told["kept_minor"]) == ("paid", 7700)


@both
@lossy
async def test_money_goes_back_once_though_the_answer_was_lost(api: Api, kind: Kind, fate: str) -> None:
    payment = await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    async with shopping(api, kind) as (shop, wire):
        wire.next = [fate, fate]
        done = await shop.ask(lambda c: c.cases.refund(case, **WHY))
        assert (done.status, done.replayed, len(done.acts)) == ("resolved", fate != "before", 1)
    await api.town.passes(60)
    assert api.town.refunds_in_books(payment) == [7700]


@both
@lossy
async def test_what_was_settled_outside_is_settled_once(api: Api, kind: Kind, fate: str) -> None:
    payment = await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    async with shopping(api, kind) as (shop, wire):
        wire.next = [fate, fate]
        done = await shop.ask(lambda c: c.cases.settle(case, **SHOWN))
        assert (done.status, done.replayed, len(done.acts)) == ("resolved", fate != "before", 1)
    assert [(r["origin"], r["minor"]) for r in (await seen(api, payment))["refunds"]] == [("outside", 7700)]
    assert api.town.refunds_in_books(payment) == []


@both
@lossy
async def test_a_failed_refund_goes_out_once_and_the_case_tells(api: Api, kind: Kind, fate: str) -> None:
    """The repetition of a retry that was done is refused, for its number may still go out; nobody is told that nothing
    was done."""
    payment = await failed_refund(api.town, "A-1")
    case = await named(api, "refund_stuck")
    async with shopping(api, kind) as (shop, wire):
        wire.next = [fate]
        if fate == "before":
            await shop.ask(lambda c: c.cases.retry(case, **WHY))
        else:
            with pytest.raises(Conflict) as caught:
                await shop.ask(lambda c: c.cases.retry(case, **WHY))
            assert (caught.value.code, caught.value.outcome, caught.value.tries) == ("verb_unfit", "unknown", 2)
        assert [act.verb for act in (await shop.ask(lambda c: c.cases.get(case))).acts] == ["retry"]
    await api.town.passes(60)
    assert api.town.kept_in_books(payment) == 8700


@both
@lossy
@pytest.mark.parametrize("verb", ["note", "resolve"])
async def test_notes_and_ends_of_cases_stand_once(api: Api, kind: Kind, fate: str, verb: str) -> None:
    await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    async with shopping(api, kind) as (shop, wire):
        wire.next = [fate, fate]
        done = await shop.ask(lambda c: getattr(c.cases, verb)(case, **WHY))
        assert (done.replayed, [act.verb for act in done.acts]) == (fate != "before", [verb])


@both
async def test_a_question_is_asked_again(api: Api, kind: Kind) -> None:
    payment = await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    before = await seen(api, payment)
    async with shopping(api, kind) as (shop, wire):
        wire.next = ["after"]
        done = await shop.ask(lambda c: c.cases.query(case, **WHY))
        assert (done.status, [act.verb for act in done.acts]) == ("open", ["query", "query"])
    assert await seen(api, payment) == before


@both
async def test_a_close_is_not_repeated_by_itself(api: Api, kind: Kind) -> None:
    """A case that names no attempt is about the one in doubt; once that is closed, it would be about the next."""
    await wrongly_paid(api.town, "A-1")
    case = await named(api, "wrong_content")
    async with shopping(api, kind) as (shop, wire):
        wire.next = ["after"]
        with pytest.raises(Unknown, match="do not simply make it again: read the case") as caught:
            await shop.ask(lambda c: c.cases.close(case, **WHY))
        assert (caught.value.outcome, wire.seen) == ("unknown", [f"POST /v1/cases/{case}/close"])
        assert [act.verb for act in (await shop.ask(lambda c: c.cases.get(case))).acts] == ["close"]
