"""What a person may do with a case about money that goes back: try again, or say that it was settled outside."""

from __future__ import annotations

from typing import Any

import pytest

from oncepay.domain.attempt import Call, Fact, Reason, Status
from oncepay.domain.capabilities import DAY, MIN
from oncepay.domain.change import Fault, Verb
from oncepay.domain.errors import (
    Busy,
    RefundsSpent,
    RefundTooLarge,
    RefundTooLate,
    VerbUnfit,
)
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from tests.unit.domain_kit import CALL_MS, ID, NO, SHOWN, WX, Story, with_failed_refund, with_unsettled, wrongly_paid

PAID, OPEN, CLOSED = PaymentStatus.PAID, PaymentStatus.OPEN, PaymentStatus.CLOSED


# -- retry -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("verb", [Verb.RETRY, Verb.REFUND])
def test_a_failed_refund_is_tried_again_at_once_under_its_next_number(verb: Verb) -> None:
    story = with_failed_refund()
    change = story.handle(verb)
    assert change is not None
    assert story.a_refund("r1").status is RefundStatus.OPEN
    assert story.payment.kept == 40
    assert story.told[-2:] == ["refund.failed", "refund.opened"]
    (act,) = change.acts
    second = story.attempt(act.number)
    assert (second.refund_no, second.calls, second.asked, second.until_ms) == (
        "r1", 1, Call.REFUND, story.now + CALL_MS,
    )  # fmt: skip
    assert act.resolves is False, "whether it goes back now is not known"
    story.say(Fact.MOVED, act.number)
    assert story.a_refund("r1").status is RefundStatus.DONE
    assert story.told[-1] == "refund.done"
    with pytest.raises(VerbUnfit, match="is done"):
        story.handle(verb)


def test_a_retry_whose_process_died_is_followed() -> None:
    story = with_failed_refund()
    story.handle(Verb.RETRY)
    assert "query_refund" in story.kinds()


def test_a_refund_is_not_tried_while_a_try_may_still_go_out() -> None:
    story = with_failed_refund()
    story.handle(Verb.RETRY)
    story.wait(DAY)
    with pytest.raises(VerbUnfit, match="may go back twice"):
        story.handle(Verb.RETRY)


def test_a_refund_that_waits_for_its_next_try_is_tried_now() -> None:
    story = Story().paid()
    story.refund("r1", 60)
    story.say(Fact.OVER, story.refund_call(), call=Call.QUERY_REFUND, reason=Reason.CLOSED)
    assert story.a_refund("r1").status is RefundStatus.OPEN
    story.wait(MIN)
    story.handle(Verb.RETRY, {"refund_no": "r1"})
    assert len([a for a in story.payment.attempts if a.refund_no == "r1"]) == 2


def test_surplus_that_waits_for_the_last_days_of_the_window_is_tried_now() -> None:
    story = wrongly_paid()
    story.handle(Verb.REFUND)
    while (step := story.next()) is not None and step.at_ms < story.now + 30 * DAY:
        story.say(Fact.OVER, story.refund_call(), call=Call.QUERY_REFUND, reason=Reason.CLOSED)
    tries = [a for a in story.payment.attempts if not a.incoming]
    story.wait(MIN)
    story.handle(Verb.RETRY)
    assert len([a for a in story.payment.attempts if not a.incoming]) == len(tries) + 1


def test_a_retry_keeps_to_the_channels_pace_count_and_window() -> None:
    story = with_failed_refund()
    story.wait(-MIN / 2)
    with pytest.raises(Busy, match="60 s between") as busy:
        story.handle(Verb.RETRY)
    assert busy.value.fields["until_ms"] == story.now + MIN / 2
    with pytest.raises(RefundsSpent):
        with_failed_refund(refund_count=1).handle(Verb.RETRY)
    late = with_failed_refund()
    late.wait(WX.refund_window_ms)
    with pytest.raises(RefundTooLate):
        late.handle(Verb.RETRY)


def test_a_retry_never_sends_back_what_was_refunded_otherwise_meanwhile() -> None:
    story = with_failed_refund()
    story.refund("r2", 50)
    with pytest.raises(RefundTooLarge, match=r"only 0\.50 CNY"):
        story.handle(Verb.RETRY, {"refund_no": "r1"})
    assert story.payment.kept == 50


@pytest.mark.parametrize("data", [{}, {"number": NO}, {"refund_no": "r9"}], ids=str)
def test_only_a_refund_can_be_tried_again(data: dict[str, Any]) -> None:
    with pytest.raises(VerbUnfit, match="no refund of ours"):
        Story().paid().handle(Verb.RETRY, data)


# -- settled outside ---------------------------------------------------------------------------------------------------


def test_a_failed_refund_that_was_paid_back_by_other_means_is_done() -> None:
    story = with_failed_refund()
    change = story.handle(Verb.SETTLE, evidence="bank transfer 4711")
    refund = story.a_refund("r1")
    assert (refund.status, refund.why, story.payment.kept) == (RefundStatus.DONE, "outside", 40)
    assert story.told[-1] == "refund.done"
    assert change is not None
    assert [(act.did, act.resolves) for act in change.acts] == [("refund r1 was paid back outside: 0.60 CNY.", True)]
    assert story.handle(Verb.SETTLE, evidence="bank transfer 4711") is None
    with pytest.raises(VerbUnfit, match="is done"):
        story.handle(Verb.RETRY)
    assert story.next() is None


def test_a_refund_that_the_channel_carried_out_is_not_settled_outside() -> None:
    story = Story().paid()
    story.refund("r1", 60)
    story.say(Fact.MOVED, story.refund_call())
    with pytest.raises(VerbUnfit, match="is done"):
        story.handle(Verb.SETTLE, {"refund_no": "r1"}, evidence=SHOWN)


def test_settling_a_refund_that_is_held_up_lets_the_others_go() -> None:
    """The payer's card is gone: the channel holds the refund for ever, and the merchant has paid it back itself."""
    story = Story().paid()
    story.refund("r1", 60)
    story.refund("r2", 10)
    held = story.refund_call()
    with pytest.raises(Busy, match="in flight"):
        story.handle(Verb.SETTLE, {"number": held}, evidence=SHOWN)
    story.say(Fact.PENDING, held, call=Call.REFUND, attention="refund_abnormal")
    assert story.cases == ["refund_abnormal"]
    story.wait(MIN)
    story.handle(Verb.SETTLE, evidence=SHOWN)
    assert (story.a_refund("r1").status, story.attempt(held).status) == (RefundStatus.DONE, Status.OVER)
    assert story.attempt(story.refund_call()).refund_no == "r2"
    story.say(Fact.MOVED, held)
    assert story.cases[-1] == "refunded_too_much", "should it go out after all, that is recorded"
    assert story.payment.kept == -30


def test_what_was_paid_back_outside_is_not_sent_by_a_refund_that_took_its_place() -> None:
    story = with_failed_refund()
    story.refund("r2", 50)
    story.handle(Verb.SETTLE, {"refund_no": "r1"}, evidence=SHOWN)
    assert (story.a_refund("r2").status, story.a_refund("r2").why) == (RefundStatus.FAILED, "outside")
    assert story.payment.kept == 40


def test_a_refund_of_another_amount_than_ours_is_settled_with_what_went_out() -> None:
    story = Story().paid()
    story.refund("r1", 60)
    number = story.refund_call()
    story.say(Fact.PENDING, number, call=Call.REFUND)
    story.say(Fact.MOVED, number, minor=70)
    assert story.cases == ["wrong_content"]
    story.handle(Verb.SETTLE, evidence=SHOWN)
    assert (story.a_refund("r1").status, story.a_refund("r1").minor, story.payment.kept) == (RefundStatus.DONE, 70, 30)
    assert story.say(Fact.MOVED, number, minor=70) is None


def test_wrong_money_that_was_dealt_with_by_hand_came_and_left() -> None:
    story = wrongly_paid(110)
    change = story.handle(Verb.SETTLE, evidence="given back in the shop")
    assert (story.attempt().status, story.attempt().minor) == (Status.SUCCEEDED, 110)
    assert [(r.minor, r.origin, r.status) for r in story.payment.refunds] == [(110, Origin.OUTSIDE, RefundStatus.DONE)]
    assert (story.payment.status, story.payment.kept, story.told) == (OPEN, 0, ["refund.outside"])
    assert change is not None
    assert change.acts[0].resolves
    assert story.handle(Verb.SETTLE, evidence="given back in the shop") is None
    with pytest.raises(VerbUnfit, match="was settled outside"):
        story.handle(Verb.REFUND)
    with pytest.raises(VerbUnfit):
        story.handle(Verb.ACCEPT, evidence=SHOWN)
    assert story.say(Fact.MOVED, minor=110) is None, "and is not wrong any more"


def test_an_unsettled_attempt_that_was_dealt_with_is_over_and_later_money_is_heard() -> None:
    story = with_unsettled()
    story.handle(Verb.SETTLE, evidence=SHOWN)
    assert (story.attempt().status, story.payment.status) == (Status.OVER, CLOSED)
    assert story.handle(Verb.SETTLE, evidence=SHOWN) is None
    story.say(Fact.MOVED)
    assert [(r.minor, r.origin) for r in story.payment.refunds] == [(100, Origin.SURPLUS)]


def test_an_attempt_that_the_payer_may_still_pay_is_not_called_over() -> None:
    story = Story()
    story.shown()
    with pytest.raises(VerbUnfit, match="may still pay") as refused:
        story.handle(Verb.SETTLE, {"number": NO}, evidence=SHOWN)
    assert refused.value.fields == {"until_ms": story.attempt().expires_ms}
    story.wait(61 * MIN)
    story.begin()
    with pytest.raises(Busy):
        story.handle(Verb.SETTLE, {"number": NO}, evidence=SHOWN)


def test_money_that_went_back_without_us_is_recorded_as_much_as_it_was() -> None:
    story = Story().paid()
    story.refund("r1", 60)
    data = {"number": NO}
    with pytest.raises(VerbUnfit, match="say how much"):
        story.handle(Verb.SETTLE, data, evidence=SHOWN)
    with pytest.raises(RefundTooLarge):
        story.handle(Verb.SETTLE, data, evidence=SHOWN, minor=101)
    story.handle(Verb.SETTLE, data, evidence=SHOWN, minor=50)
    assert story.payment.kept == 50
    assert story.a_refund("r1").why == "outside", "what we were about to send finds no room"
    assert story.handle(Verb.SETTLE, data, evidence=SHOWN, minor=50) is None
    with pytest.raises(VerbUnfit, match="50 of"):
        story.handle(Verb.SETTLE, data, evidence=SHOWN, minor=10)


def test_what_a_person_recorded_is_not_recorded_again_when_the_channel_tells_of_it() -> None:
    """By a message about that refund, or by saying how much went back in all; more than that is more."""
    by_number = Story().paid()
    by_number.handle(Verb.SETTLE, {"number": NO}, evidence=SHOWN, minor=50)
    by_number.outside("console-1", 50)
    assert (by_number.payment.kept, len(by_number.payment.refunds)) == (50, 1)
    by_number.outside("console-2", 50)
    assert (by_number.payment.kept, len(by_number.payment.refunds)) == (0, 2)
    in_all = Story().paid()
    in_all.handle(Verb.SETTLE, {"number": NO}, evidence=SHOWN, minor=50)
    in_all.say(Fact.MOVED, returned_minor=50)
    assert (in_all.payment.kept, len(in_all.payment.refunds)) == (50, 1)
    in_all.say(Fact.MOVED, returned_minor=80)
    assert (in_all.payment.kept, len(in_all.payment.refunds)) == (20, 2)


def test_a_refund_that_was_paid_back_by_the_channels_console_is_not_counted_twice() -> None:
    story = with_failed_refund()
    story.handle(Verb.SETTLE, evidence=SHOWN)
    story.say(Fact.MOVED, returned_minor=60)
    assert (story.payment.kept, len(story.payment.refunds)) == (40, 1)
    story.say(Fact.MOVED, returned_minor=70)
    assert story.payment.kept == 30


@pytest.mark.parametrize("fault", [Fault.ACCOUNT, Fault.BALANCE, Fault.MOMENT])
def test_what_the_account_was_turned_away_for_is_asked_about_and_goes_out_under_the_same_number(fault: Fault) -> None:
    story = Story().paid()
    story.refund("r1", 60)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND, fault=fault)
    story.wait(MIN)
    story.handle(Verb.RETRY, {"refund_no": "r1"})
    assert story.attempt(number).asked is Call.QUERY_REFUND
    story.say(Fact.ABSENT, number, call=Call.QUERY_REFUND)
    assert story.refund_call() == number
    incoming = Story()
    incoming.say(Fact.SILENT, call=Call.PREPAY, fault=fault)
    incoming.handle(Verb.RETRY, {"number": NO})
    assert incoming.attempt().asked is Call.QUERY


def test_a_stranger_s_money_settles_nothing_of_ours() -> None:
    story = wrongly_paid(100, "0" * 28)
    with pytest.raises(VerbUnfit, match="note what was done"):
        story.handle(Verb.SETTLE, {**story.data, "ours": False}, evidence=SHOWN)
    ended = wrongly_paid(100, wrong="mchid is '2', not '1'")
    data = ended.data
    ended.queried(Fact.OVER, reason=Reason.CLOSED)
    with pytest.raises(VerbUnfit, match="note what was done"):
        ended.handle(Verb.SETTLE, data, evidence=SHOWN)


def test_a_case_that_the_same_change_raises_again_stays_open() -> None:
    from oncepay.domain.ids import case_id

    story = Story().paid()
    story.refund("r1", 60)
    story.refund_call()
    about = case_id(f"{ID}:{NO}", "refunded_too_much")
    change = story.handle(Verb.SETTLE, {"number": NO}, evidence=SHOWN, minor=90)
    assert change is not None
    assert [case_id(c.about, c.kind) for c in change.cases] == [about]
    again = Story().paid()
    again.refund("r1", 60)
    again.refund_call()
    again.case = about
    change = again.handle(Verb.SETTLE, {"number": NO}, evidence=SHOWN, minor=90)
    assert change is not None
    assert [act.resolves for act in change.acts] == [False]
