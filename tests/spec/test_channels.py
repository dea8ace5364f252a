"""Three channels and what happens between them, told against the real sandbox on both databases: the payer who opened
Alipay, went back, paid by WeChat Pay, and then pays the Alipay page too."""

from __future__ import annotations

import asyncio
import itertools
import json
from typing import NoReturn

import msgspec
import pytest

from oncepay.domain import errors
from oncepay.domain.attempt import Status
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from oncepay.engine import admin, story
from oncepay.sandbox.alipay import trades
from oncepay.sandbox.wechat.wire import Refusal
from tests.spec.centre import Town
from tests.spec.ways import BY_METHOD, DAY_S, HOUR_S, OPENERS, live_in_books, starts_with, way

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
async def test_a_minute_to_pay_is_a_minute_in_which_it_can_be_paid(town: Town, name: str) -> None:
    """Till its end, also for who loads the page again; nothing is to be had by asking for a new code."""
    shown = await starts_with(town, "C-9", name, minutes=1)
    await town.passes(45)
    again = await town.starts(shown.payment, *way(name))
    assert again.credential == shown.credential
    assert (await town.now(shown.payment)).attempts[0].calls == shown.payment.attempts[0].calls
    await town.payer_pays(again)
    assert (await town.now(shown.payment)).status is PaymentStatus.PAID


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


async def test_a_code_that_came_to_nothing_is_no_refusal_and_the_same_request_starts_another(town: Town) -> None:
    """UnionPay tells a code once. When the call was lost on its way, the channel does not know the number. (A request
    that waits for the first query hears of that.)"""
    town.engine.settings = msgspec.structs.replace(town.engine.settings, start_budget_ms=15_000)
    town.faults({"fault": "drop_before", "call": "prepay"})
    with pytest.raises(
        errors.ChannelSilent, match=r"at unionpay \(the connection broke.*\); .* starts another"
    ) as said:
        await town.pay("S-7", channel="unionpay", method="qr")
    assert (said.value.fields["outcome"], said.value.retry) == ("not_sent", True)
    again = await town.pay("S-7", channel="unionpay", method="qr")
    assert again.attempt is not None
    assert again.attempt.no.endswith("01")
    await town.payer_pays(again)
    assert town.shop.told("S-7") == ["paid"]


async def test_the_words_of_a_refusal_outlive_the_question_that_finds_nothing(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    """WeChat Pay says INVALID_REQUEST also of a number in use, so it is asked; that it knows none is no reason."""

    def refuse(*_of: object) -> NoReturn:
        raise Refusal(400, "INVALID_REQUEST", "此商家的收款功能已被限制")

    monkeypatch.setattr("oncepay.sandbox.wechat.orders.prepay", refuse)
    said = "INVALID_REQUEST 此商家的收款功能已被限制"
    shown = await town.pay("D-17")
    assert (shown.credential, shown.attempt and shown.attempt.words) == ("", said)
    await town.passes(30)
    attempt = await town.last_attempt(shown.payment)
    assert (attempt.status, attempt.words) == (Status.OVER, said)
    told = story.explain(town.engine, await town.now(shown.payment))["why"]
    assert told[-1].endswith(f"is over: closed ({said}).")
