"""The stories of the house, told against the real sandbox on both databases. Each ends by comparing three books: the
channel's, the centre's, the shop's."""

from __future__ import annotations

import asyncio

import msgspec
import pytest

from oncepay.domain import errors
from oncepay.domain.attempt import Status
from oncepay.domain.payment import PaymentStatus, RefundStatus
from oncepay.engine import admin, close, pay
from oncepay.ports import Answer, Request
from tests.spec.centre import Town

DAY_S = 86_400


async def paid(town: Town, order_no: str, minor: int = 8800) -> pay.Shown:
    shown = await town.pay(order_no, minor=minor)
    await town.payer_pays(shown)
    return shown


async def test_the_payer_pays_and_the_shop_hears_once(town: Town) -> None:
    shown = await town.pay("A-1")
    assert msgspec.json.decode(shown.credential)["code_url"].startswith("weixin://")
    await town.payer_pays(shown)
    payment = await town.now(shown.payment)
    assert (payment.status, payment.version, payment.kept) == (PaymentStatus.PAID, 1, 8800)
    assert town.shop.told("A-1") == ["paid"]
    assert town.kept_in_books(payment) == 8800
    await town.passes(2 * DAY_S)
    assert len(town.shop.heard) == 1
    assert await town.cases() == []


async def test_a_lost_notification_is_healed_by_the_first_query(town: Town) -> None:
    shown = await town.pay("A-2")
    town.faults({"fault": "notify_none"})
    await town.payer_pays(shown)
    assert town.shop.told("A-2") == []
    await town.passes(10)
    assert town.shop.told("A-2") == ["paid"]


@pytest.mark.parametrize(
    "fault",
    [
        "drop_after",
        "drop_before",
        "http_500_after",
        "http_502",
        "garbage",
        "signtest_response",
        "forged_200",
        "stale_200",
        "truncated",
    ],
)
async def test_a_prepay_without_a_believable_answer_is_sent_again_and_shown(town: Town, fault: str) -> None:
    town.faults({"fault": fault, "call": "prepay"})
    shown = await town.pay("A-3")
    assert shown.credential
    await town.payer_pays(shown)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.PAID
    assert len(payment.attempts) == 1, "the same number, never a second one"
    assert town.kept_in_books(payment) == 8800


async def test_submitted_twice_at_once_there_is_one_payment_and_one_code(town: Town) -> None:
    first, second, third = await asyncio.gather(town.pay("A-4"), town.pay("A-4"), town.pay("A-4"))
    assert first.payment.id == second.payment.id == third.payment.id
    assert first.credential == second.credential == third.credential
    assert len((await town.now(first.payment)).attempts) == 1
    assert len(town.sandbox.books()) == 1
    with pytest.raises(errors.KeyReused, match="minor differs"):
        await town.pay("A-4", minor=8801)


async def test_a_shop_that_was_down_is_told_later_once(town: Town) -> None:
    town.shop.status = 500
    shown = await paid(town, "A-5")
    await town.passes(60)
    town.shop.status = 204
    await town.passes(3600)
    assert town.shop.told("A-5") == ["paid"]
    assert town.shop.books["A-5"]["version"] == 1
    heard = len(town.shop.heard)
    await town.passes(10 * DAY_S)
    assert len(town.shop.heard) == heard, "told once it was acknowledged, never again"
    assert (await town.now(shown.payment)).version == 1


async def test_notifications_doubled_and_forged_change_nothing_more(town: Town) -> None:
    shown = await town.pay("A-6")
    town.faults({"fault": "notify_duplicate"}, {"fault": "notify_forged"}, {"fault": "signtest_notify"})
    await town.payer_pays(shown)
    await town.passes(3600)
    assert town.shop.told("A-6") == ["paid"]
    assert (await town.now(shown.payment)).version == 1


async def test_a_wrong_amount_in_a_valid_notification_is_a_case_and_no_money(town: Town) -> None:
    shown = await town.pay("A-7")
    town.faults({"fault": "notify_wrong_amount", "amount": 1})
    assert shown.attempt is not None
    town.sandbox.pay(shown.attempt.no)
    await town.quiet()
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.OPEN
    assert await town.cases() == ["wrong_content"]
    await town.passes(30)
    assert town.shop.told("A-7") == ["paid"], "the query says what is true"


async def test_paid_after_the_deadline_goes_back_by_itself(town: Town) -> None:
    shown = await town.pay("A-8", minutes=5)
    await town.passes(600)
    assert (await town.now(shown.payment)).status is PaymentStatus.CLOSED
    assert town.shop.told("A-8") == ["closed"]
    town.faults({"fault": "pay_after_close"})
    await town.payer_pays(shown)
    await town.passes(3600)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.CLOSED
    assert town.kept_in_books(payment) == 0
    assert town.refunds_in_books(payment) == [8800]
    assert town.shop.told("A-8") == ["closed", "surplus.refunded"]


async def test_late_money_is_accepted_when_the_app_says_so(town: Town) -> None:
    town.app = await admin.set_policies(town.engine, town.app, late="accept")
    shown = await town.pay("A-9", minutes=5)
    await town.passes(600)
    town.faults({"fault": "pay_after_close"})
    await town.payer_pays(shown)
    await town.passes(3600)
    assert town.shop.told("A-9") == ["closed", "paid"]
    assert town.kept_in_books(shown.payment) == 8800


async def test_an_abandoned_checkout_ends_closed_within_the_budget_of_calls(town: Town) -> None:
    shown = await town.pay("A-10", minutes=120)
    await town.passes(3 * DAY_S)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.CLOSED
    assert town.shop.told("A-10") == ["closed"]
    assert await town.cases() == []
    assert town.sandbox.books()[0].state == "CLOSED"


async def test_partial_refunds_up_to_the_ceiling_and_one_too_many(town: Town) -> None:
    shown = await paid(town, "A-11", minor=100)
    await town.refunds(shown.payment, "r1", 60)
    await town.refunds(shown.payment, "r2", 40)
    with pytest.raises(errors.RefundTooLarge, match="0 is kept"):
        await town.refunds(shown.payment, "r3", 1)
    with pytest.raises(errors.KeyReused, match="minor differs"):
        await town.refunds(shown.payment, "r1", 61)
    await town.refunds(shown.payment, "r1", 60)
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert [r.status for r in payment.refunds] == [RefundStatus.DONE, RefundStatus.DONE]
    assert sorted(town.refunds_in_books(payment)) == [40, 60]
    assert sorted(town.shop.told("A-11")) == ["paid", "refund.done", "refund.done", "refund.opened", "refund.opened"]


async def test_a_refund_without_an_answer_and_then_a_refused_account_is_refunded_once(town: Town) -> None:
    shown = await paid(town, "A-12")
    town.faults({"fault": "drop_after", "call": "refund"}, notify_none=1.0)
    await town.refunds(shown.payment, "r1", 8800)
    town.sandbox.faults.replace({"on": {"refused_401": True}, "once": []})
    await town.passes(1200)
    assert "account_account" in await town.cases()
    town.faults()
    town.sandbox.faults.replace({"on": {}})
    await town.passes(DAY_S)
    assert town.refunds_in_books(shown.payment) == [8800]
    payment = await town.now(shown.payment)
    assert payment.refunds[0].status is RefundStatus.DONE
    assert town.shop.told("A-12") == ["paid", "refund.opened", "refund.done"]


async def test_a_refund_that_never_arrived_is_sent_again_under_the_same_number(town: Town) -> None:
    shown = await paid(town, "A-13")
    town.faults({"fault": "drop_before", "call": "refund"})
    await town.refunds(shown.payment, "r1", 100)
    await town.passes(3600)
    assert town.refunds_in_books(shown.payment) == [100]
    outs = [a for a in (await town.now(shown.payment)).attempts if not a.incoming]
    assert len(outs) == 1
    assert outs[0].calls == 2


async def test_no_balance_waits_with_a_case_and_is_tried_under_the_same_number(town: Town) -> None:
    shown = await paid(town, "A-14")
    town.faults({"fault": "not_enough", "times": 3})
    await town.refunds(shown.payment, "r1", 100)
    await town.passes(DAY_S)
    assert town.refunds_in_books(shown.payment) == [100]
    assert "account_balance" in await town.cases()
    assert len([a for a in (await town.now(shown.payment)).attempts if not a.incoming]) == 1


async def test_a_refund_that_ends_closed_is_tried_with_a_new_number(town: Town) -> None:
    shown = await paid(town, "A-15")
    town.faults({"fault": "refund_closed"})
    await town.refunds(shown.payment, "r1", 100)
    await town.passes(3 * DAY_S)
    payment = await town.now(shown.payment)
    assert payment.refunds[0].status is RefundStatus.DONE
    outs = [a for a in payment.attempts if not a.incoming]
    assert [a.status for a in outs] == [Status.OVER, Status.SUCCEEDED]
    assert town.kept_in_books(payment) == 8700


async def test_closing_while_the_payer_pays_ends_paid(town: Town) -> None:
    shown = await town.pay("A-16")
    town.faults({"fault": "paid_during_close"})
    await town.closes(shown.payment)
    await town.passes(60)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.PAID
    assert town.kept_in_books(payment) == 8800
    assert town.shop.told("A-16")[-1] == "paid"


async def test_closing_for_good_sends_back_what_is_paid_meanwhile(town: Town) -> None:
    shown = await town.pay("A-17")
    town.faults({"fault": "paid_during_close"})
    await town.closes(shown.payment, "refund")
    await town.passes(3600)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.CLOSED
    assert town.kept_in_books(payment) == 0
    assert town.shop.told("A-17")[-1] == "surplus.refunded"


async def test_switching_the_method_closes_the_first_at_the_channel(town: Town) -> None:
    shown = await town.pay("A-18")
    assert shown.attempt is not None
    payer = {"openid": "oTEST-0000000000000000000001"}
    new = pay.NewAttempt(channel="wechat", method="jsapi", payer=payer)
    second = await pay.start(town.engine, await town.now(shown.payment), new)
    assert second.attempt is not None
    assert second.attempt.no != shown.attempt.no
    states = {row.number: row.state for row in town.sandbox.books()}
    assert states == {shown.attempt.no: "CLOSED", second.attempt.no: "NOTPAY"}
    invoke = msgspec.json.decode(second.credential)
    assert {"appId", "timeStamp", "nonceStr", "package", "signType", "paySign"} <= invoke.keys()
    await town.payer_pays(second)
    assert town.shop.told("A-18") == ["paid"]


async def test_paid_while_switching_is_paid_and_the_second_is_never_started(town: Town) -> None:
    shown = await town.pay("A-19")
    assert shown.attempt is not None
    town.faults({"fault": "notify_none"})
    town.sandbox.pay(shown.attempt.no)
    new = pay.NewAttempt(channel="wechat", method="jsapi", payer={"openid": "oTEST-0000000000000000000001"})
    with pytest.raises(errors.PaymentPaid):
        await pay.start(town.engine, await town.now(shown.payment), new)
    assert len(town.sandbox.books()) == 1


async def test_every_story_ends_right_without_any_notification(town: Town) -> None:
    town.faults(notify_none=1.0)
    shown = await paid(town, "A-20")
    await town.passes(10)
    assert town.shop.told("A-20") == ["paid"], "at the first query after payment"
    await town.refunds(shown.payment, "r1", 8800)
    await town.passes(DAY_S)
    assert (await town.now(shown.payment)).refunds[0].status is RefundStatus.DONE
    assert town.kept_in_books(shown.payment) == 0


async def test_a_fresh_answer_is_asked_for_at_once_but_not_all_the_time(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    town.faults(notify_none=1.0)
    shown = await paid(town, "A-21")
    asked, send = [], town.engine.transport.send

    async def counted(request: Request, deadline_s: float) -> Answer:
        asked.append(request)
        return await send(request, deadline_s)

    monkeypatch.setattr(town.engine.transport, "send", counted)
    assert (await town.asks(shown.payment)).status is PaymentStatus.PAID
    for _ in range(3):
        await town.asks(shown.payment)
    assert len(asked) == 1, "an app that asks in a loop asks us, not the channel"
    town.sandbox.advance(2)
    await town.asks(shown.payment)
    assert len(asked) == 2


async def test_reopened_and_amended_it_is_paid_at_the_new_amount(town: Town) -> None:
    shown = await town.pay("A-22", minutes=5)
    payment = await town.closes(shown.payment)
    assert payment.status is PaymentStatus.CLOSED
    await town.passes(600)
    payment = await close.reopen(town.engine, await town.now(payment), town.now_ms + 3_600_000)
    payment = await close.amend(town.engine, payment, minor=9900, deadline_ms=None)
    again = await pay.start(town.engine, payment, pay.NewAttempt(channel="wechat", method="native"))
    await town.payer_pays(again)
    assert town.shop.told("A-22") == ["closing", "closed", "reopened", "amended", "paid"] or town.shop.told("A-22") == [
        "closed",
        "reopened",
        "amended",
        "paid",
    ]
    assert town.kept_in_books(payment) == 9900


async def test_a_channel_that_is_silent_for_days_gets_a_case_and_few_calls(town: Town) -> None:
    shown = await town.pay("A-23", minutes=60)
    town.faults(http_503=1.0)
    await town.passes(6 * DAY_S)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.OPEN, "silence is never refusal"
    assert await town.cases() == ["unsettled"]
    town.faults()
    await town.passes(3 * DAY_S)
    assert (await town.now(shown.payment)).status is PaymentStatus.CLOSED
