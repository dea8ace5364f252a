"""A process of an older release beside one of a newer that wrote into a payment what the older does not know."""

from __future__ import annotations

import msgspec
import pytest

from oncepay.domain.change import Change
from oncepay.domain.payment import Payment
from oncepay.engine.pay import Shown
from oncepay.engine.workers import run_due_once
from oncepay.ports import Page
from tests.spec.centre import Town, api


class PaymentOfTomorrow(Payment, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """As a later release may have it."""

    tip_minor: int = 0


async def written(town: Town, before: Payment, after: Payment) -> None:
    """By the other process, which follows it: it is due in a minute."""
    change = Change(
        rev=before.rev, payment=after, at_ms=town.now_ms, due_ms=town.now_ms + 60_000, change_id=f"x{after.rev}"
    )
    assert await town.engine.ledger.commit(change)


@pytest.mark.parametrize("road", ["notification", "work"])
async def test_it_is_left_to_those_who_can_read_it(town: Town, road: str) -> None:
    """What arrives for it is not taken in, so that the channel says it again; nobody puts it off, and no person is called."""
    shown: Shown = await town.pay("N-1")
    ledger, before = town.engine.ledger, await town.now(shown.payment)
    fields = msgspec.structs.asdict(before)
    newer = PaymentOfTomorrow(**fields | {"rev": before.rev + 1}, tip_minor=5)
    if road == "notification":
        await written(town, before, newer)
        await town.payer_pays(shown)
    else:
        town.sandbox.clock.advance(120)
        claim_due = ledger.claim_due

        async def claimed(*args: int) -> object:
            due = await claim_due(*args)
            await written(town, before, newer)  # between the claim and what the claim was for
            return due

        ledger.claim_due = claimed  # type: ignore[method-assign, assignment]
        assert await run_due_once(town.engine) == 1
        ledger.claim_due = claim_due  # type: ignore[method-assign]
    assert (await ledger.stats(town.now_ms + 60_000))["payments_due"] == 1, "as the other process left it"
    assert await ledger.cases(Page()) == ([], "")
    assert await ledger.unapplied([before.id]) == []
    assert (await api(town, "GET", f"/v1/payments/pay_{before.id}"))[0] == 503
    await written(town, newer, Payment(**fields | {"rev": newer.rev + 1}))
