"""What goes with a call and with a commit, whatever happens in between: the very bytes of the first call, a token."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Fact
from oncepay.domain.capabilities import Policy
from oncepay.domain.change import Change, Hear, Input, Step, StepKind
from oncepay.domain.decide import decide
from oncepay.domain.payment import Payment, RefundStatus
from oncepay.domain.plan import plan
from oncepay.engine import core, step
from oncepay.ports import Answer, Request
from tests.spec.centre import Town


async def test_a_call_is_repeated_byte_for_byte_whatever_has_changed_since(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A channel that gets another body under the same number refuses it, or takes it for another order."""
    sent: list[bytes] = []
    send = town.engine.transport.send

    async def recorded(request: Request, deadline_s: float) -> Answer:
        if request.method == "POST":
            sent.append(request.body)
        moved = msgspec.structs.replace(town.engine.settings, public_url="https://moved.example")
        monkeypatch.setattr(town.engine, "settings", moved)  # the installation moves between two calls
        return await send(request, deadline_s)

    monkeypatch.setattr(town.engine.transport, "send", recorded)
    town.faults({"fault": "drop_after", "call": "prepay"})
    shown = await town.pay("A-1")
    assert shown.credential
    assert len(sent) == 2
    assert sent[0] == sent[1]


async def test_every_change_has_a_token_of_its_own(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """By which it is known again when its COMMIT was not answered."""
    tokens: list[str] = []
    commit = town.engine.ledger.commit

    async def recorded(change: Change) -> bool:
        tokens.append(change.change_id)
        return await commit(change)

    monkeypatch.setattr(town.engine.ledger, "commit", recorded)
    await town.payer_pays(await town.pay("A-1"))
    assert len(tokens) > 2
    assert all(tokens)
    assert len(set(tokens)) == len(tokens)


async def test_of_two_processes_that_plan_the_same_step_one_calls(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who loses the guard at the intent has committed nothing, and calls nobody."""
    calls: list[Request] = []
    send = town.engine.transport.send

    async def recorded(request: Request, deadline_s: float) -> Answer:
        calls.append(request)
        return await send(request, deadline_s)

    payment = (await town.pay("A-1")).payment
    town.sandbox.advance(10)
    planned = plan(payment, town.engine.policy, town.now_ms)
    assert planned is not None
    monkeypatch.setattr(town.engine.transport, "send", recorded)
    await asyncio.gather(*(step.take(town.engine, payment, planned) for _ in range(5)))
    assert len(calls) == 1


async def test_a_process_that_stood_still_after_its_intent_makes_no_call_whose_time_is_over(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By then others may have found that the channel knows of no such refund, and given the money back under another
    number: its call would send it a second time."""
    shown = await town.pay("A-1")
    await town.payer_pays(shown)
    calls: list[Request] = []
    send, commit = town.engine.transport.send, town.engine.commit

    async def recorded(request: Request, deadline_s: float) -> Answer:
        calls.append(request)
        return await send(request, deadline_s)

    async def stands_still(change: Change, **more: Any) -> Any:
        bodies = await commit(change, **more)
        if bodies:
            town.sandbox.advance(3_600)
        return bodies

    monkeypatch.setattr(town.engine.transport, "send", recorded)
    with monkeypatch.context() as still:
        still.setattr(town.engine, "commit", stands_still)
        payment = await town.refunds(shown.payment, "r1", 100)
    assert calls == []
    assert payment.refunds[0].status is RefundStatus.OPEN
    await town.passes(60)
    payment = await town.now(shown.payment)
    assert payment.refunds[0].status is RefundStatus.DONE, "it is followed as any call that was not answered"
    assert town.refunds_in_books(payment) == [100]


async def test_a_channel_that_is_called_too_often_is_not_called_more_for_it(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each call is answered with 429: the timetable goes on, and nothing is called again for the answer's sake."""
    calls: list[int] = []
    send = town.engine.transport.send

    async def counted(request: Request, deadline_s: float) -> Answer:
        calls.append(town.now_ms)
        return await send(request, deadline_s)

    monkeypatch.setattr(town.engine.transport, "send", counted)
    town.sandbox.faults.replace({"on": {"http_429": True}})
    await town.pay("A-1")
    began_ms = calls[0]
    await town.passes(1_800)
    gaps_ms = [after - before for before, after in pairwise(calls)]
    assert calls[-1] > began_ms + 600_000, "it is followed all the same"
    assert len(calls) <= 30, "five times for a code, and then by the timetable"
    assert min(gaps_ms[1:]) >= 2_000, "only the second host is asked at once"


async def test_what_a_call_was_answered_is_as_old_as_the_call(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process stands still between the answer and what it makes of it."""
    shown = await town.pay("A-1", channel="alipay", method="page")
    heard: list[Hear] = []
    send = town.engine.transport.send

    async def stands_still(request: Request, deadline_s: float) -> Answer:
        answer = await send(request, deadline_s)
        town.sandbox.advance(3_600)
        return answer

    def hears(payment: Payment, asked: Input, policy: Policy, now_ms: int) -> Change | None:
        if isinstance(asked, Hear):
            heard.append(asked)
        return decide(payment, asked, policy, now_ms)

    monkeypatch.setattr(town.engine.transport, "send", stands_still)
    monkeypatch.setattr(core, "decide", hears)
    began_ms = town.now_ms
    query = Step(kind=StepKind.QUERY, at_ms=began_ms, number=shown.payment.attempts[0].no)
    await step.take(town.engine, shown.payment, query)
    assert [(hear.evidence[0].fact, hear.asked_ms) for hear in heard] == [(Fact.ABSENT, began_ms)]
