"""Three channels and what happens between them, told against the real sandbox on both databases: the payer who opened
Alipay, went back, paid by WeChat Pay, and then pays the Alipay page too."""

from __future__ import annotations

import asyncio
import itertools
import json

import pytest

from oncepay.domain import errors
from oncepay.domain.attempt import Status
from oncepay.domain.change import StepKind
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from oncepay.engine import admin, pay, step
from oncepay.sandbox.alipay import trades
from tests.spec.centre import Town

HOUR_S = 3_600
DAY_S = 24 * HOUR_S

WAYS = [
    ("wechat", "native"), ("alipay", "page"), ("alipay", "wap"), ("alipay", "app"), ("alipay", "precreate"),
    ("unionpay", "front"), ("unionpay", "qr"), ("unionpay", "app"),
]  # fmt: skip
BY_METHOD = [f"{channel}-{method}" for channel, method in WAYS]
OPENERS = ["alipay-page", "unionpay-front"]


def way(name: str) -> tuple[str, str]:
    channel, _, method = name.partition("-")
    return channel, method


async def starts_with(town: Town, order_no: str, name: str, **more: int) -> pay.Shown:
    channel, method = way(name)
    shown = await town.pay(order_no, channel=channel, method=method, **more)
    assert shown.credential, "there is something to show"
    return shown


def live_in_books(town: Town, shown: pay.Shown) -> list[str]:
    """Numbers that somebody may still pay, as the channels have them."""
    rows = [row for row in town.sandbox.books() if row.number.startswith(shown.payment.id)]
    return [row.number for row in rows if row.state in {"NOTPAY", "WAIT_BUYER_PAY", "OPEN"}]


# -- one way to pay ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", BY_METHOD)
async def test_paid_and_told_once(town: Town, name: str) -> None:
    shown = await starts_with(town, "C-1", name)
    await town.payer_pays(shown)
    payment = await town.now(shown.payment)
    assert (payment.status, payment.kept) == (PaymentStatus.PAID, 8800)
    assert payment.attempts[0].trade_no
    assert town.kept_in_books(payment) == 8800
    await town.passes(2 * DAY_S)
    assert town.shop.told("C-1") == ["paid"]
    assert await town.cases() == []


@pytest.mark.parametrize("name", BY_METHOD)
async def test_a_lost_notification_is_healed_by_the_first_query(town: Town, name: str) -> None:
    shown = await starts_with(town, "C-2", name)
    town.faults(notify_none=1.0)
    await town.payer_pays(shown)
    assert town.shop.told("C-2") == []
    await town.passes(11)
    assert town.shop.told("C-2") == ["paid"]


@pytest.mark.parametrize("name", BY_METHOD)
async def test_an_abandoned_checkout_ends_closed(town: Town, name: str) -> None:
    shown = await starts_with(town, "C-3", name, minutes=10)
    await town.passes(2 * HOUR_S)
    payment = await town.now(shown.payment)
    assert payment.status is PaymentStatus.CLOSED
    assert live_in_books(town, shown) == []
    assert town.shop.told("C-3") == ["closed"]
    assert await town.cases() == []


@pytest.mark.parametrize("name", BY_METHOD)
async def test_the_same_again_is_the_same_code(town: Town, name: str) -> None:
    shown = await starts_with(town, "C-4", name)
    again = await town.starts(shown.payment, *way(name))
    assert again.attempt is not None
    assert again.attempt.no == shown.payment.id + "00"
    assert again.credential == shown.credential


@pytest.mark.parametrize("name", ["wechat-native", "alipay-page", "unionpay-front"])
async def test_refunds_in_parts_up_to_all_of_it(town: Town, name: str) -> None:
    shown = await starts_with(town, "C-5", name)
    await town.payer_pays(shown)
    for refund_no, minor in {"r1": 3000, "r2": 5000, "r3": 800}.items():
        await town.refunds(shown.payment, refund_no, minor)
    with pytest.raises(errors.RefundTooLarge):
        await town.refunds(shown.payment, "r4", 1)
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert [r.status for r in payment.refunds] == [RefundStatus.DONE] * 3
    assert sorted(town.refunds_in_books(payment)) == [800, 3000, 5000]
    assert (payment.kept, town.kept_in_books(payment)) == (0, 0)
    assert await town.cases() == []


@pytest.mark.parametrize("fault", ["drop_after", "drop_before", "garbage", "truncated", "http_500_after"])
@pytest.mark.parametrize("name", ["wechat-native", "alipay-page", "unionpay-front"])
async def test_a_refund_whose_answer_is_lost_goes_once(town: Town, name: str, fault: str) -> None:
    shown = await starts_with(town, "C-6", name)
    await town.payer_pays(shown)
    town.faults({"fault": fault, "call": "refund"})
    await town.refunds(shown.payment, "r1", 3000)
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert payment.refunds[0].status is RefundStatus.DONE
    assert town.refunds_in_books(payment) == [3000]
    assert await town.cases() == []


@pytest.mark.parametrize("fault", ["drop_before", "refused_401"])
@pytest.mark.parametrize("name", ["wechat-native", "alipay-page", "unionpay-front"])
async def test_a_refund_goes_once_when_what_was_broken_for_hours_is_mended(town: Town, name: str, fault: str) -> None:
    """UnionPay then refuses the number whose call never arrived, since its time has become old."""
    shown = await starts_with(town, "C-7", name)
    await town.payer_pays(shown)
    town.sandbox.faults.replace({"on": {fault: True}})
    await town.refunds(shown.payment, "r1", 3000)
    await town.passes(2 * HOUR_S)
    assert town.refunds_in_books(shown.payment) == []
    town.sandbox.faults.clear()
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert payment.refunds[0].status is RefundStatus.DONE
    assert town.refunds_in_books(payment) == [3000]


# -- switching ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("second", ["wechat-native", "alipay-precreate", "unionpay-qr"])
@pytest.mark.parametrize("first", BY_METHOD)
async def test_switched_only_the_second_is_paid(town: Town, first: str, second: str) -> None:
    if first == second:
        second = "alipay-wap"
    shown = await starts_with(town, "S-1", first)
    switched = await town.starts(shown.payment, *way(second))
    assert switched.attempt is not None
    assert switched.attempt.no == shown.payment.id + "01"
    await town.payer_pays(switched)
    await town.passes(3 * HOUR_S)
    payment = await town.now(shown.payment)
    assert (payment.status, payment.paid_by) == (PaymentStatus.PAID, switched.attempt.no)
    assert [a.status for a in payment.attempts] == [Status.OVER, Status.SUCCEEDED]
    assert live_in_books(town, shown) == []
    assert town.shop.told("S-1") == ["paid"]
    assert await town.cases() == []


@pytest.mark.parametrize("second", ["wechat-native", "alipay-precreate", "unionpay-qr"])
@pytest.mark.parametrize("first", OPENERS)
async def test_paid_on_both_phones_the_second_goes_back_by_itself(town: Town, first: str, second: str) -> None:
    shown = await starts_with(town, "S-2", first)
    switched = await town.starts(shown.payment, *way(second))
    await town.payer_pays(switched)
    await town.payer_pays(shown)  # the page was still open
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert (payment.status, payment.kept) == (PaymentStatus.PAID, 8800)
    assert [(r.origin, r.status, r.of) for r in payment.refunds] == [
        (Origin.SURPLUS, RefundStatus.DONE, shown.payment.id + "00")
    ]
    assert town.kept_in_books(payment) == 8800
    assert town.refunds_in_books(payment) == [8800]
    assert town.shop.told("S-2") == ["paid", "surplus.refunded"]
    assert await town.cases() == []


@pytest.mark.parametrize("first", BY_METHOD)
async def test_paid_while_switching_ends_paid_and_the_second_is_never_started(town: Town, first: str) -> None:
    second = "wechat-native" if first != "wechat-native" else "alipay-page"
    shown = await starts_with(town, "S-3", first)
    town.faults(notify_none=1.0)
    await town.payer_pays(shown)
    with pytest.raises(errors.PaymentPaid):
        await town.starts(shown.payment, *way(second))
    payment = await town.now(shown.payment)
    assert (payment.status, len(payment.attempts)) == (PaymentStatus.PAID, 1)


async def test_an_alipay_page_that_is_opened_late_is_closed_at_the_first_query_that_sees_it(town: Town) -> None:
    shown = await starts_with(town, "S-4", "alipay-page")
    switched = await town.starts(shown.payment, "wechat", "native")
    await town.payer_pays(switched)
    await town.passes(40)
    offer = town.sandbox.alipay.opened(json.loads(shown.credential)["url"])
    trades.log_in(town.sandbox.alipay.desk, offer)
    assert live_in_books(town, shown) == [shown.payment.id + "00"]
    await town.passes(30)
    assert live_in_books(town, shown) == []
    payment = await town.now(shown.payment)
    assert payment.attempts[0].status is Status.OVER
    assert payment.kept == town.kept_in_books(payment) == 8800


@pytest.mark.parametrize("first", OPENERS)
async def test_who_waits_is_told_why_and_until_when(town: Town, first: str) -> None:
    await admin.set_policies(town.engine, town.app, unclosable="wait")
    town.app = town.engine.directory.app(town.app.id)
    shown = await starts_with(town, "S-5", first, minutes=10)
    with pytest.raises(errors.AttemptLive) as refused:
        await town.starts(shown.payment, "wechat", "native")
    assert refused.value.detail.startswith(f"att_{shown.payment.id}00: {way(first)[0]} ")
    assert refused.value.fields["until_ms"] == shown.payment.attempts[0].expires_ms
    assert len((await town.now(shown.payment)).attempts) == 1
    await town.passes(HOUR_S)
    assert (await town.now(shown.payment)).status is PaymentStatus.CLOSED


@pytest.mark.parametrize("policy", ["switch", "wait"])
@pytest.mark.parametrize("first", ["wechat-native", "alipay-precreate", "unionpay-front"])
async def test_many_switches_at_once_leave_one_live_attempt(town: Town, first: str, policy: str) -> None:
    """Six buttons pressed at the same moment, on several pages. Where the old one can be closed there is never more
    than one live attempt; where it cannot, only under ``switch``, and then one beside it."""
    await admin.set_policies(town.engine, town.app, unclosable=policy)  # type: ignore[arg-type]
    town.app = town.engine.directory.app(town.app.id)
    shown = await starts_with(town, "S-6", first)
    others = [way(name) for name in ("wechat-native", "alipay-page", "unionpay-qr") if way(name) != way(first)]
    await asyncio.gather(*(town.starts(shown.payment, *other) for other in others * 3), return_exceptions=True)
    payment = await town.now(shown.payment)
    live = [a for a in payment.attempts if not a.settled and a.shown_ms and not a.superseded_ms]
    assert len(live) <= 1
    old = [a for a in payment.attempts if not a.settled and a.superseded_ms]
    if policy == "wait":
        assert len(live) + len(old) <= 1
    for attempt in live:
        town.sandbox.pay_for({"number": attempt.no, "channel": attempt.channel}) if attempt.method != "page" else None
    await town.passes(DAY_S)
    payment = await town.now(shown.payment)
    assert payment.status in {PaymentStatus.PAID, PaymentStatus.CLOSED}
    assert payment.kept == town.kept_in_books(payment)


@pytest.mark.parametrize("first", OPENERS)
async def test_what_can_be_closed_is_closed_before_the_next_also_beside_a_page_that_cannot_be(
    town: Town, first: str
) -> None:
    """The page stays open, and many start something else at once: each of theirs is over before the next is shown."""
    shown = await starts_with(town, "S-7", first)
    others = [("wechat", "native"), ("wechat", "app"), ("alipay", "wap"), ("wechat", "native")]
    await asyncio.gather(*(town.starts(shown.payment, *other) for other in others), return_exceptions=True)
    payment = await town.now(shown.payment)
    assert len(payment.attempts) > 1
    for one, after in itertools.pairwise(payment.attempts):
        if one.channel == "wechat" and one.shown_ms:
            assert 0 < one.settled_ms <= after.created_ms, "nobody may pay both"


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
    while step.paused_until_ms(town.engine, "wx", StepKind.REFUND) - town.now_ms < 1_900_000:
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
