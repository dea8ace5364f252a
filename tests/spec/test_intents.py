"""What goes with a call and with a commit, whatever happens in between: the very bytes of the first call, a token."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from oncepay.domain.change import Change
from oncepay.domain.plan import plan
from oncepay.engine import step
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
