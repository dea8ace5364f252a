"""Held money: what came in, fits nothing, and nobody decided on. Against the real sandbox on both databases."""

from __future__ import annotations

import pytest

from oncepay.domain.change import Verb
from oncepay.domain.errors import Unavailable
from oncepay.engine import workers
from oncepay.engine.cases import Wish, act
from tests.spec.centre import Town
from tests.spec.test_cases import DAY_S, acts, case_of, wrongly_paid

WINDOW_DAYS = 365  # in which WeChat Pay takes refunds


async def test_wrong_money_that_nobody_decides_on_goes_back_thirty_days_before_it_could_not(town: Town) -> None:
    payment = await wrongly_paid(town, "H-1")
    row = await case_of(town, "wrong_content")
    town.sandbox.advance((WINDOW_DAYS - 31) * DAY_S)
    await workers.upkeep(town.engine)
    assert await acts(town, row) == []
    town.sandbox.advance(DAY_S)
    for _ in range(3):
        await workers.upkeep(town.engine)
        await town.passes(600)
    assert (town.kept_in_books(payment), town.refunds_in_books(payment)) == (0, [7700]), "once"
    (done,) = await town.engine.ledger.acts(row.id)
    assert (done.verb, done.actor) == (Verb.REFUND, "oncepay")
    assert "surplus.refunded" in town.shop.told("H-1")
    assert "wrong_content" not in await town.cases()


async def test_it_goes_back_also_when_old_bytes_cannot_be_forgotten(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def kept(_: int) -> None:
        raise Unavailable("the months of raw bytes could not be changed")

    payment = await wrongly_paid(town, "H-1b")
    town.sandbox.advance((WINDOW_DAYS - 29) * DAY_S)
    monkeypatch.setattr(town.engine.ledger, "forget_raw", kept)
    for _ in range(3):
        await workers.upkeep(town.engine)
        await town.passes(600)
    assert (town.kept_in_books(payment), town.refunds_in_books(payment)) == (0, [7700])


async def test_it_stays_with_us_while_the_channel_does_not_say_that_it_moved(town: Town) -> None:
    shown = await town.pay("H-2")
    town.faults({"fault": "notify_wrong_amount", "amount": 1})
    await town.payer_pays(shown)
    row = await case_of(town, "wrong_content")
    town.sandbox.advance((WINDOW_DAYS - 29) * DAY_S)
    town.faults(drop_before=1.0)
    await workers.upkeep(town.engine)
    assert await acts(town, row) == [], "silence is no confirmation"
    town.faults()
    await workers.upkeep(town.engine)
    await town.passes(600)
    assert await acts(town, row) == [], "what it says is another amount, and that pays"
    assert (await town.now(shown.payment)).kept == town.kept_in_books(shown.payment)


async def test_what_a_person_has_decided_is_not_decided_again(town: Town) -> None:
    payment = await wrongly_paid(town, "H-3")
    row = await case_of(town, "wrong_content")
    wish = Wish(verb=Verb.ACCEPT, actor="ann", reason="It is ours.", evidence="the console shows it")
    assert await act(town.engine, row, wish)
    town.sandbox.advance((WINDOW_DAYS - 29) * DAY_S)
    await workers.upkeep(town.engine)
    await town.passes(600)
    assert (await acts(town, row), town.kept_in_books(payment)) == ([Verb.ACCEPT], 7700)
