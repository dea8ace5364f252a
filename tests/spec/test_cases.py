"""What a person does with cases, against the real sandbox on both databases. Each story ends by comparing the books: the
channel's, the centre's, the shop's."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from oncepay.domain import errors
from oncepay.domain.attempt import Status
from oncepay.domain.change import Verb
from oncepay.domain.ids import payment_id
from oncepay.domain.payment import Origin, Payment, PaymentStatus, RefundStatus
from oncepay.engine import cases, story
from oncepay.engine.cases import Wish, act
from oncepay.ports import CaseRow, Page
from tests.spec.centre import Town
from tests.spec.test_doubt import order_at_the_channel, raise_on_hear
from tests.spec.test_stories import paid

HOUR_S = 3_600
DAY_S = 24 * HOUR_S
SHOWN = "the console shows it"


async def case_of(town: Town, kind: str) -> CaseRow:
    """The one open case of a kind."""
    rows, _ = await town.engine.ledger.cases(Page(limit=100))
    (row,) = [row for row in rows if row.kind == kind]
    return row


async def do(town: Town, row: CaseRow, verb: Verb, **said: Any) -> bool:
    done = await act(town.engine, row, Wish(verb=verb, actor="ann", reason="Because.", **said))
    await town.quiet()
    return done


async def acts(town: Town, row: CaseRow) -> list[Verb]:
    return [done.verb for done in await town.engine.ledger.acts(row.id)]


async def wrongly_paid(town: Town, order_no: str, minor: int = 7700) -> Payment:
    """The channel has taken another amount than was asked of it, and says so whenever it is asked."""
    town.faults(drop_before=1.0)
    shown = await town.pay(order_no)
    town.faults()
    number = shown.payment.id + "00"
    await order_at_the_channel(town, number, minor)
    town.sandbox.pay(number)
    await town.quiet()
    assert await town.cases() == ["wrong_content"]
    return shown.payment


async def failed_refund(town: Town, order_no: str) -> Payment:
    """The channel closes every try of a refund, until there is none left."""
    shown = await paid(town, order_no)
    town.faults(refund_closed=1.0)
    await town.refunds(shown.payment, "r1", 100)
    await town.passes(3 * DAY_S)
    town.faults()
    payment = await town.now(shown.payment)
    assert payment.refunds[0].status is RefundStatus.FAILED
    return payment


# -- money that came ---------------------------------------------------------------------------------------------------


async def test_wrong_money_is_accepted_and_everybody_says_how_much_is_kept(town: Town) -> None:
    payment = await wrongly_paid(town, "K-1")
    row = await case_of(town, "wrong_content")
    assert await do(town, row, Verb.ACCEPT, evidence=SHOWN, trade_no=row.data["trade_no"])
    payment = await town.now(payment)
    assert (payment.status, payment.kept, town.kept_in_books(payment)) == (PaymentStatus.PAID, 7700, 7700)
    assert town.shop.told("K-1") == ["paid"]
    assert (town.shop.books["K-1"]["kept_minor"], town.shop.books["K-1"]["minor"]) == (7700, 8800)
    await town.passes(2 * DAY_S)
    assert await town.cases() == [], "what the channel says now fits"
    await town.refunds(payment, "r1", 7700)
    await town.passes(HOUR_S)
    assert (town.kept_in_books(payment), town.shop.books["K-1"]["kept_minor"]) == (0, 0)
    entries = await story.timeline(town.engine, payment)
    assert [entry["minor"] for entry in entries if entry["what"] == "attempt.started"] == [8800]
    (told,) = [entry for entry in entries if entry["what"] == "case.accepted"]
    assert (told["actor"], told["evidence"]) == ("ann", f"{SHOWN}; trade_no {row.data['trade_no']}")


async def test_wrong_money_goes_back_once_and_the_payment_can_be_paid_rightly(town: Town) -> None:
    payment = await wrongly_paid(town, "K-2")
    row = await case_of(town, "wrong_content")
    ended = await asyncio.gather(*(do(town, row, Verb.REFUND) for _ in range(5)), return_exceptions=True)
    assert sum(end is True for end in ended) == 1
    assert {type(end) for end in ended} <= {bool, errors.Busy}
    assert not await do(town, row, Verb.REFUND)
    await town.passes(HOUR_S / 4)
    assert (town.kept_in_books(payment), town.refunds_in_books(payment)) == (0, [7700])
    assert town.shop.told("K-2") == ["surplus.refunded"]
    assert await acts(town, row) == [Verb.REFUND]
    assert await town.cases() == []
    await town.payer_pays(await town.starts(payment, "wechat", "native"))
    assert town.shop.told("K-2") == ["surplus.refunded", "paid"]
    assert town.kept_in_books(payment) == 8800


async def test_before_a_person_decides_the_channel_is_asked_and_a_lie_is_not_taken_for_money(town: Town) -> None:
    """The notification says 0.01, the payer has paid 88.00."""
    for order_no, verb in (("K-14", Verb.ACCEPT), ("K-15", Verb.REFUND), ("K-16", Verb.SETTLE)):
        shown = await town.pay(order_no)
        town.faults({"fault": "notify_wrong_amount", "amount": 1})
        await town.payer_pays(shown)
        rows, _ = await town.engine.ledger.cases(Page(limit=10), payment_id=shown.payment.id)
        (row,) = rows
        with pytest.raises(errors.VerbUnfit, match="has succeeded"):
            await do(town, row, verb, evidence=SHOWN)
        assert await acts(town, row) == []
        payment = await town.now(shown.payment)
        assert (payment.status, payment.kept, town.kept_in_books(payment)) == (PaymentStatus.PAID, 8800, 8800)


async def test_where_the_channel_is_silent_evidence_counts_and_nothing_goes_back(town: Town) -> None:
    shown = await town.pay("K-17")
    town.faults({"fault": "notify_wrong_amount", "amount": 1})
    await town.payer_pays(shown)
    row = await case_of(town, "wrong_content")
    town.faults(drop_before=1.0)
    with pytest.raises(errors.VerbUnfit, match="does not say that this money moved: it says silent"):
        await do(town, row, Verb.REFUND)
    assert await do(town, row, Verb.ACCEPT, evidence=SHOWN)
    assert (await town.now(shown.payment)).kept == 1


async def test_of_two_people_who_want_different_things_one_is_heard(town: Town) -> None:
    payment = await wrongly_paid(town, "K-3")
    row = await case_of(town, "wrong_content")
    wishes = [do(town, row, verb, evidence=SHOWN) for verb in (Verb.ACCEPT, Verb.REFUND, Verb.SETTLE) * 2]
    ended = await asyncio.gather(*wishes, return_exceptions=True)
    assert sum(end is True for end in ended) == 1
    assert all(end in {True, False} or isinstance(end, errors.OncepayError) for end in ended)
    await town.passes(HOUR_S)
    assert len(await acts(town, row)) == 1
    payment = await town.now(payment)
    kept = payment.kept if payment.status is PaymentStatus.PAID else 0
    outside = sum(r.minor for r in payment.refunds if r.origin is Origin.OUTSIDE)
    assert town.kept_in_books(payment) == kept + outside


async def test_wrong_money_that_was_given_back_by_hand_is_out_of_the_books(town: Town) -> None:
    payment = await wrongly_paid(town, "K-4")
    await do(town, await case_of(town, "wrong_content"), Verb.SETTLE, evidence="cash, in the shop")
    assert town.shop.told("K-4") == ["refund.outside"]
    await town.passes(2 * HOUR_S)
    assert town.refunds_in_books(payment) == [], "it is not sent once more"
    assert (await town.now(payment)).status is PaymentStatus.CLOSED
    assert await town.cases() == []


async def test_an_attempt_of_which_the_channel_says_nothing_is_asked_about_now(town: Town) -> None:
    shown = await town.pay("K-5")
    assert shown.attempt is not None
    town.faults(http_503=1.0, notify_none=1.0)
    town.sandbox.pay(shown.attempt.no)
    await town.passes(5 * HOUR_S)
    row = await case_of(town, "unsettled")
    await do(town, row, Verb.QUERY)
    assert (await town.now(shown.payment)).status is PaymentStatus.OPEN, "still nothing"
    town.faults()
    await do(town, row, Verb.QUERY)
    assert town.shop.told("K-5") == ["paid"]
    assert await acts(town, row) == [Verb.QUERY] * 2
    evidence = await cases.evidence(town.engine, row)
    assert [known.fact for known in evidence][-1] == "moved"
    with pytest.raises(errors.VerbUnfit, match="it has succeeded"):
        await do(town, row, Verb.CLOSE)


async def test_an_unsettled_attempt_is_closed_at_the_channel_now(town: Town) -> None:
    shown = await town.pay("K-6")
    town.faults(http_503=1.0)
    await town.passes(5 * HOUR_S)
    town.faults()
    await do(town, await case_of(town, "unsettled"), Verb.CLOSE)
    assert [row.state for row in town.sandbox.books()] == ["CLOSED"]
    assert (await town.now(shown.payment)).status is PaymentStatus.CLOSED
    assert town.shop.told("K-6") == ["closed"]


@pytest.mark.parametrize("is_paid", [False, True])
async def test_a_cancel_closes_what_is_unpaid_and_sends_back_what_is_paid(town: Town, is_paid: bool) -> None:
    shown = await town.pay("K-7", channel="alipay", method="precreate")
    town.faults(notify_none=1.0)
    if is_paid:
        await town.payer_pays(shown)
    town.faults(drop_before=1.0, notify_none=1.0)
    await town.passes(5 * HOUR_S)
    town.faults()
    await do(town, await case_of(town, "unsettled"), Verb.CANCEL)
    await town.passes(DAY_S)  # of a code that nobody scanned the channel knows nothing: that must be said twice
    payment = await town.now(shown.payment)
    assert (town.kept_in_books(payment), payment.kept) == (0, 0)
    assert payment.attempts[0].status is (Status.SUCCEEDED if is_paid else Status.OVER)
    assert town.shop.told("K-7") == (["paid", "refund.outside"] if is_paid else ["closed"])


# -- money that goes back ----------------------------------------------------------------------------------------------


async def test_a_failed_refund_is_tried_again_now_by_whoever_is_first(town: Town) -> None:
    payment = await failed_refund(town, "K-8")
    row = await case_of(town, "refund_stuck")
    ended = await asyncio.gather(*(do(town, row, Verb.RETRY) for _ in range(4)), return_exceptions=True)
    assert sum(end is True for end in ended) == 1
    await town.passes(60)
    assert (await town.now(payment)).refunds[0].status is RefundStatus.DONE
    assert [r.status for line in town.sandbox.books() for r in line.refunds].count("SUCCESS") == 1
    assert town.kept_in_books(payment) == 8700
    assert town.shop.told("K-8")[-3:] == ["refund.failed", "refund.opened", "refund.done"]
    assert town.shop.books["K-8"]["kept_minor"] == 8700


async def test_a_failed_refund_that_was_paid_back_by_hand_is_done_and_is_not_sent(town: Town) -> None:
    payment = await failed_refund(town, "K-9")
    row = await case_of(town, "refund_stuck")
    assert await do(town, row, Verb.SETTLE, evidence="bank transfer 4711")
    assert not await do(town, row, Verb.SETTLE, evidence="bank transfer 4711")
    await town.passes(2 * DAY_S)
    assert town.kept_in_books(payment) == 8800, "the channel paid nothing back"
    assert town.shop.told("K-9")[-1] == "refund.done"
    assert town.shop.books["K-9"]["kept_minor"] == 8700
    assert await town.cases() == []


async def test_a_refund_that_the_channel_holds_is_settled_and_the_next_one_goes(town: Town) -> None:
    shown = await paid(town, "K-10")
    town.faults({"fault": "refund_abnormal"})
    await town.refunds(shown.payment, "r1", 100)
    await town.refunds(shown.payment, "r2", 200)
    await town.passes(HOUR_S)
    assert [r.status for r in (await town.now(shown.payment)).refunds] == [RefundStatus.OPEN] * 2
    await do(town, await case_of(town, "refund_abnormal"), Verb.SETTLE, evidence="bank transfer 4712")
    await town.passes(HOUR_S)
    payment = await town.now(shown.payment)
    assert [r.status for r in payment.refunds] == [RefundStatus.DONE] * 2
    assert payment.kept == 8500


async def test_an_account_that_is_well_again_is_not_waited_for(town: Town) -> None:
    shown = await paid(town, "K-11")
    town.sandbox.faults.replace({"on": {"not_enough": True}})
    await town.refunds(shown.payment, "r1", 100)
    await town.passes(6 * HOUR_S)
    row = await case_of(town, "account_balance")
    assert town.engine.pauses
    town.sandbox.faults.replace({"on": {}})
    assert await do(town, row, Verb.RETRY)
    assert town.refunds_in_books(shown.payment) == [100]
    assert not town.engine.pauses
    assert await acts(town, row) == [Verb.RETRY]
    await town.passes(60)
    assert town.shop.told("K-11") == ["paid", "refund.opened", "refund.done"]
    (seen,) = await cases.look(town.engine, [row])
    assert (seen.row.payment_id, seen.ahead) == ("", None)


# -- what cannot be placed or taken in ---------------------------------------------------------------------------------


async def test_what_the_core_could_not_take_in_is_taken_in_again_now(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = await town.pay("K-12")
    broken = [True]
    raise_on_hear(monkeypatch, broken)
    await town.payer_pays(shown)
    row = await case_of(town, "poisoned")
    with pytest.raises(errors.VerbUnfit, match="the core raises still"):
        await do(town, row, Verb.RETRY)
    assert len(await town.engine.ledger.unapplied([shown.payment.id])) == 1, "all is kept"
    broken.clear()
    assert await do(town, row, Verb.RETRY)
    assert town.shop.told("K-12") == ["paid"]
    assert await town.engine.ledger.unapplied([shown.payment.id]) == []
    assert [done.did for done in await town.engine.ledger.acts(row.id)] == ["1 kept messages are taken in again."] * 2


async def test_money_that_fits_no_payment_can_be_noted_and_resolved(town: Town) -> None:
    number = payment_id("another installation", "shop", "lost") + "00"
    await order_at_the_channel(town, number)
    town.sandbox.pay(number)
    await town.sandbox.settle()
    row = await case_of(town, "unplaced_money")
    (seen,) = await cases.look(town.engine, [row])
    assert (seen.minor, seen.currency) == (8800, "CNY")
    for verb in set(Verb) - {Verb.NOTE, Verb.RESOLVE}:
        with pytest.raises(errors.VerbUnfit, match="about no payment of ours"):
            await do(town, row, verb, evidence=SHOWN)
    assert await do(town, row, Verb.NOTE)
    assert not await do(town, row, Verb.NOTE)
    town.sandbox.advance(1)
    assert await do(town, row, Verb.RESOLVE)
    assert await acts(town, row) == [Verb.NOTE, Verb.RESOLVE]


async def test_a_payment_on_which_the_core_raises_hides_no_other_case(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    await wrongly_paid(town, "K-13")
    rows, _ = await town.engine.ledger.cases(Page(limit=10))

    def raises(*_: Any) -> Any:
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(cases, "steps", raises)
    (seen,) = await cases.look(town.engine, rows)
    assert (seen.minor, seen.ahead) == (7700, None)
