"""Money between three channels that is paid twice, late, wrongly, or goes back without us: told against the real
sandbox on both databases."""

from __future__ import annotations

import json

import pytest

from oncepay.domain.attempt import Status
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from oncepay.engine import admin
from oncepay.engine.pauses import REFUND
from tests.spec.centre import Town
from tests.spec.ways import DAY_S, HOUR_S, starts_with, way

# -- twice, late, wrong, without us ------------------------------------------------------------------------------------


@pytest.mark.parametrize("late", ["refund", "accept"])
@pytest.mark.parametrize("name", ["wechat-native", "alipay-page"])
async def test_money_after_the_end_goes_by_the_policy(town: Town, name: str, late: str) -> None:
    await admin.set_policies(town.engine, town.app, late=late)  # type: ignore[arg-type]
    town.app = town.engine.directory.app(town.app.id)
    shown = await starts_with(town, "L-1", name, minutes=10)
    await town.passes(HOUR_S)
    assert (await town.now(shown.payment)).status is PaymentStatus.CLOSED
    town.faults({"fault": "pay_after_close"})
    await town.payer_pays(shown)
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    if late == "accept":
        assert (payment.status, payment.kept) == (PaymentStatus.PAID, 8800)
        assert town.shop.told("L-1") == ["closed", "paid"]
    else:
        assert (payment.status, payment.kept) == (PaymentStatus.CLOSED, 0)
        assert town.shop.told("L-1") == ["closed", "surplus.refunded"]
    assert town.kept_in_books(payment) == payment.kept


@pytest.mark.parametrize("name", ["wechat-native", "alipay-page", "unionpay-front"])
async def test_a_wrong_amount_inside_a_valid_signature_is_a_case_and_changes_nothing(town: Town, name: str) -> None:
    shown = await starts_with(town, "W-1", name)
    town.faults({"fault": "notify_wrong_amount", "amount": 1})
    await town.payer_pays(shown)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.OPEN
    assert "wrong_content" in await town.cases()
    await town.passes(60)
    assert (await town.now(shown.payment)).kept == 8800, "and the query says the truth"


async def test_what_an_internet_bank_pays_too_late_goes_back_without_us(town: Town) -> None:
    shown = await starts_with(town, "L-2", "unionpay-front", minutes=10)
    form = json.loads(shown.credential)
    town.sandbox.pay_for({"form": {"action": form["action"], "fields": form["fields"]}, "fail": "64"})
    await town.passes(HOUR_S)
    town.faults({"fault": "late_bank"})
    town.sandbox.pay(shown.payment.id + "00")
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert (payment.status, payment.kept, payment.refunds) == (PaymentStatus.CLOSED, 0, ())
    assert town.shop.told("L-2") == ["closed"]


@pytest.mark.parametrize(("name", "minor"), [("alipay-page", 1000), ("alipay-wap", 8800), ("alipay-precreate", 1000)])
async def test_a_refund_in_the_vendors_console_lowers_what_is_kept(town: Town, name: str, minor: int) -> None:
    shown = await starts_with(town, "O-1", name)
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "00", minor, way(name)[0])
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert [(r.origin, r.minor, r.status) for r in payment.refunds] == [(Origin.OUTSIDE, minor, RefundStatus.DONE)]
    assert payment.kept == town.kept_in_books(payment) == 8800 - minor
    assert town.shop.told("O-1") == ["paid", "refund.outside"]


async def test_a_full_one_that_nobody_tells_is_seen_when_somebody_asks(town: Town) -> None:
    switched = await starts_with(town, "O-2", "wechat-native")  # what is over is asked about too
    shown = await town.starts(switched.payment, "alipay", "page")
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "01", 8800, "alipay")
    await town.passes(90)
    assert (await town.now(shown.payment)).kept == 8800
    await town.asks(shown.payment)
    await town.quiet()
    assert (await town.now(shown.payment)).kept == town.kept_in_books(shown.payment) == 0
    assert town.shop.told("O-2") == ["paid", "refund.outside"]


@pytest.mark.parametrize("heard", ["answer", "query"])
async def test_one_of_the_same_amount_as_ours_in_doubt_is_not_taken_for_ours(town: Town, heard: str) -> None:
    """Ours did not reach the channel while somebody gave as much back in the console, and went out afterwards. Nobody
    tells of it; its answer says how much went back in all, its query when it went."""
    shown = await starts_with(town, "O-7", "alipay-page")
    await town.payer_pays(shown)
    town.faults({"fault": "drop_before", "call": "refund"})
    await town.refunds(shown.payment, "r1", 1000)
    await town.settle()
    assert town.refunds_in_books(shown.payment) == []
    town.sandbox.refund(shown.payment.id + "00", 1000, "alipay")
    await town.quiet()
    payment = await town.now(shown.payment)
    assert ([r.origin for r in payment.refunds], payment.kept) == ([Origin.APP], 7800)
    assert payment.attempts[0].returned_minor == 1000, "the notice was heard"
    town.faults({"fault": "notify_none"}, *([{"fault": "drop_after", "call": "refund"}] if heard == "query" else []))
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert town.refunds_in_books(payment) == [1000, 1000]
    assert [(r.origin, r.minor, r.status) for r in payment.refunds] == [
        (Origin.APP, 1000, RefundStatus.DONE),
        (Origin.OUTSIDE, 1000, RefundStatus.DONE),
    ]
    assert payment.kept == town.kept_in_books(payment) == 6800
    assert sorted(town.shop.told("O-7")[2:]) == ["refund.done", "refund.outside"]


async def test_one_that_nobody_told_is_seen_when_the_channel_refuses_ours(town: Town) -> None:
    shown = await starts_with(town, "O-4", "alipay-page")
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "00", 8800, "alipay")
    await town.refunds(shown.payment, "r1", 1000)
    await town.passes(60)
    payment = await town.now(shown.payment)
    assert [(r.origin, r.minor, r.status) for r in payment.refunds] == [
        (Origin.APP, 1000, RefundStatus.FAILED),
        (Origin.OUTSIDE, 8800, RefundStatus.DONE),
    ]
    assert payment.kept == town.kept_in_books(payment) == 0


async def test_a_refund_that_can_no_longer_be_made_fails(town: Town) -> None:
    """Its first call met an empty balance, and meanwhile somebody gave the money back in the console: what is refused
    then is a repeated call."""
    shown = await starts_with(town, "O-5", "alipay-page")
    await town.payer_pays(shown)
    town.faults({"fault": "not_enough"})
    await town.refunds(shown.payment, "r1", 8000)
    town.sandbox.refund(shown.payment.id + "00", 1000, "alipay")
    await town.passes(7 * DAY_S)
    payment = await town.now(shown.payment)
    assert [r.status for r in payment.refunds] == [RefundStatus.FAILED, RefundStatus.DONE]
    assert payment.kept == town.kept_in_books(payment) == 7800
    assert town.shop.told("O-5") == ["paid", "refund.opened", "refund.failed", "refund.outside"]


async def test_a_refund_that_is_refused_with_a_word_for_everything_ends_too(town: Town) -> None:
    """WeChat Pay says INVALID_REQUEST to a refund of which nothing is left, and also to a number that is in use."""
    shown = await starts_with(town, "O-6", "wechat-native")
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "00", 8000, "wechat")
    await town.refunds(shown.payment, "r1", 1000)
    await town.refunds(shown.payment, "r2", 100)
    await town.passes(7 * DAY_S)
    payment = await town.now(shown.payment)
    assert {r.refund_no: r.status for r in payment.refunds} == {"r1": RefundStatus.FAILED, "r2": RefundStatus.DONE}
    assert payment.refunds[0].why.startswith("INVALID_REQUEST")
    assert town.refunds_in_books(payment) == [8000, 100]
    assert "refund_stuck" in await town.cases()


async def test_a_person_is_called_too_beside_a_refund_that_the_channel_did_not_take(town: Town) -> None:
    """It says that money went back, and it knows no refund of ours."""
    shown = await starts_with(town, "O-8", "wechat-native")
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "00", 8800, "wechat")
    await town.refunds(shown.payment, "r1", 1000)
    await town.passes(7 * DAY_S)
    assert await town.cases() == ["refund_stuck"]
    payment = await town.asks(shown.payment)
    assert [(r.refund_no, r.status) for r in payment.refunds] == [("r1", RefundStatus.FAILED)]
    assert (payment.kept, town.kept_in_books(payment)) == (8800, 0), "how much, it does not say"
    assert sorted(await town.cases()) == ["outside_refund", "refund_stuck"]


async def test_where_the_channel_does_not_say_how_much_a_person_is_called(town: Town) -> None:
    shown = await starts_with(town, "O-3", "wechat-native")
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "00", 1000, "wechat")
    await town.passes(60)
    await town.asks(shown.payment)
    assert await town.cases() == ["outside_refund"]


@pytest.mark.parametrize("name", ["wechat-native", "alipay-page"])
async def test_an_empty_balance_stops_the_account_s_refunds_with_one_case(town: Town, name: str) -> None:
    """Not one call a refund and minute: the account waits, the numbers stay, and when there is money all go."""
    shown = [await starts_with(town, f"B-{n}", name) for n in range(4)]
    for one in shown:
        await town.payer_pays(one)
    town.sandbox.faults.replace({"on": {"not_enough": True}})
    for one in shown:
        await town.refunds(one.payment, "r1", 100)
    await town.passes(6 * HOUR_S)
    assert (await town.cases()).count("account_balance") == 1
    assert all(town.refunds_in_books(one.payment) == [] for one in shown)
    town.sandbox.faults.clear()
    await town.passes(3 * HOUR_S)
    for one in shown:
        payment = await town.now(one.payment)
        assert payment.refunds[0].status is RefundStatus.DONE
        assert town.refunds_in_books(payment) == [100]
        assert len([a for a in payment.attempts if not a.incoming]) == 1, "under the same number"


async def test_a_refund_that_waits_for_a_balance_keeps_nobody_from_the_page_that_is_still_open(town: Town) -> None:
    other = await starts_with(town, "B-8", "wechat-native")
    await town.payer_pays(other)
    town.sandbox.faults.replace({"on": {"not_enough": True}})
    await town.refunds(other.payment, "r1", 100)
    while town.engine.pauses.until_ms("wx", REFUND, town.now_ms) - town.now_ms < 1_900_000:
        await town.passes(300)  # the account is left alone for longer and longer
    shown = await starts_with(town, "B-9", "alipay-page")
    await town.payer_pays(await town.starts(shown.payment, "wechat", "native"))
    await town.refunds(shown.payment, "r1", 100)
    town.sandbox.faults.clear()
    town.faults(notify_none=1.0)
    await town.payer_pays(shown)  # the page was still open, and nobody tells
    await town.passes(120)
    payment = await town.now(shown.payment)
    assert payment.attempts[0].status is Status.SUCCEEDED, "it was asked about"
    assert [r.status for r in payment.refunds if r.origin is Origin.SURPLUS] == [RefundStatus.DONE]
    assert payment.kept == 8700, "and what waits still waits"
