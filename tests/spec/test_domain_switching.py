"""Switching where the old attempt cannot be closed, is not there yet, or was never shown to anybody."""

from __future__ import annotations

from itertools import pairwise

import pytest

from oncepay.domain import errors
from oncepay.domain.attempt import Call, Direction, Fact, Reason, Road, Status
from oncepay.domain.capabilities import MIN, S
from oncepay.domain.change import Evidence, Hear, StepKind
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from tests.unit.domain_kit import CREDENTIAL, NO, NO_2, PAGES, UNION, Story


def follow(story: Story, fact: Fact, until_ms: float) -> list[tuple[str, float]]:
    """Do what is due till then, each question answered by the same fact: what was done, and when in seconds."""
    done = []
    while (step := story.next()) is not None and step.at_ms <= until_ms:
        story.begin()
        done.append((step.kind.value, round((story.now - start(story)) / S, 1)))
        if step.kind is not StepKind.TICK:
            story.say(fact, step.number, call=Call(step.kind.value))
    return done


def start(story: Story) -> int:
    """The moment everything is counted from."""
    return story.payment.created_ms


# -- made without a call -----------------------------------------------------------------------------------------------


def test_a_page_that_nobody_was_given_is_not_sent_by_anybody() -> None:
    """The process died before it could show it: no worker makes a call for it, the next request shows it."""
    story = Story(attempt="page")
    assert story.attempt().calls == 0
    assert story.kinds() == ["tick"]
    story.shown()
    assert story.attempt().status is Status.CREATED
    assert story.next() is not None
    assert story.kinds()[0] == "query", "shown is as good as sent"


def test_a_page_that_nobody_was_given_ends_with_its_time() -> None:
    story = Story(attempt="page", minutes=5)
    story.begin()
    assert (story.payment.status, story.now) == (PaymentStatus.CLOSED, start(story) + 5 * MIN)


# -- a page that is still open somewhere -------------------------------------------------------------------------------


def test_an_abandoned_page_is_closed_at_the_first_query_that_sees_it() -> None:
    """The payer opened Alipay, went back and chose WeChat: the page is looked for on its own timetable, and when the
    payer has logged in there after all it is closed at once."""
    story = Story(attempt="page", unclosable="switch")
    story.shown()
    story.wait(5 * S)
    story.start()
    story.queried(Fact.ABSENT)
    story.start(force=True)
    story.shown(NO_2)
    looked = follow(story, Fact.ABSENT, start(story) + 31 * S)
    assert [at for kind, at in looked if kind == "query"][:2] == [10, 15], "ten seconds after the start of each"
    story.begin()
    assert story.attempt().asked is Call.QUERY
    story.say(Fact.PENDING, NO, call=Call.QUERY)
    step = story.begin()
    assert (step.kind, step.number) == (StepKind.CLOSE, NO)
    story.say(Fact.OVER, NO, call=Call.CLOSE)
    assert story.attempt().status is Status.OVER
    assert story.payment.status is PaymentStatus.OPEN


def test_force_does_not_pass_over_what_nobody_tried_to_close() -> None:
    """Another start was faster and its code is on a screen: that this one's page could not be closed says nothing of
    it."""
    story = Story(attempt="page", unclosable="switch")
    story.shown()
    story.start()
    story.queried(Fact.ABSENT)
    story.start(force=True)
    story.shown(NO_2)
    story.start(force=True, method="form")
    assert len(story.payment.attempts) == 2
    assert story.attempt(NO_2).superseded_ms, "it is followed first"


def test_it_is_looked_for_also_when_the_payment_is_paid() -> None:
    story = Story(attempt="page")
    story.shown()
    story.start()
    story.queried(Fact.ABSENT)
    story.start(force=True)
    story.shown(NO_2)
    story.say(Fact.MOVED, NO_2)
    assert story.payment.status is PaymentStatus.PAID
    looks = [at for kind, at in follow(story, Fact.ABSENT, start(story) + 35 * MIN) if kind == "query"]
    assert looks == [10, 20, 30, 60, 120, 240, 480, 900, 1800]
    story.say(Fact.MOVED, NO)
    assert [(r.origin, r.of) for r in story.payment.refunds] == [(Origin.SURPLUS, NO)]


def test_nobody_is_called_about_a_page_before_it_could_have_ended() -> None:
    """Switched away from, it is not known at the channel until its own time is over: that is no case."""
    story = Story(attempt="page", minutes=24 * 60)
    story.shown()
    story.start()
    story.queried(Fact.ABSENT)
    story.start(force=True)
    story.shown(NO_2)
    story.say(Fact.MOVED, NO_2)
    follow(story, Fact.ABSENT, start(story) + 24 * 60 * MIN)
    assert story.cases == []
    sure = start(story) + 24 * 60 * MIN + PAGES.absent_margin_ms
    follow(story, Fact.ABSENT, sure + PAGES.absent_apart_ms + 10 * S)
    assert story.attempt().status is Status.OVER
    assert story.cases == []


# -- a channel that cannot close ---------------------------------------------------------------------------------------


def test_what_cannot_be_closed_is_asked_once_and_the_answer_says_why() -> None:
    story = Story(attempt="form", unclosable="wait")
    story.shown()
    story.wait(5 * S)
    story.start()
    story.begin()
    story.say(Fact.PENDING, call=Call.QUERY)
    with pytest.raises(errors.AttemptLive) as refused:
        story.start()
    assert "union cannot close it" in refused.value.detail
    assert refused.value.fields["until_ms"] == story.attempt().expires_ms
    assert StepKind.CLOSE.value not in story.kinds()


def test_paid_while_switching_away_is_paid_and_nothing_is_started() -> None:
    story = Story(attempt="form")
    story.shown()
    story.start()
    story.queried(Fact.MOVED)
    with pytest.raises(errors.PaymentPaid):
        story.start(force=True)
    assert [a.no for a in story.payment.attempts] == [NO]


def test_its_timetable_goes_on_and_it_is_asked_after_its_time() -> None:
    """No burst of questions where nothing can be closed: the channel would only say "too often"."""
    story = Story(attempt="form", minutes=15)
    story.shown()
    story.wait(5 * S)
    story.start()
    story.queried(Fact.PENDING)
    story.start(force=True)
    story.shown(NO_2)
    story.say(Fact.MOVED, NO_2)
    end_s = 15 * 60
    looks = [at for kind, at in follow(story, Fact.PENDING, start(story) + 21 * MIN) if kind == "query"]
    assert [at for at in looks if at < end_s] == [10, 20, 30, 60, 120, 240, 480]
    assert [at for at in looks if at >= end_s] == [930, 1200.2, 1201, 1205, 1230]
    assert story.cases == []


def test_where_it_does_not_end_a_person_is_called() -> None:
    story = Story(attempt="form", minutes=15)
    story.shown()
    story.start()
    story.queried(Fact.PENDING)
    sure = start(story) + 15 * MIN + UNION.absent_margin_ms + UNION.absent_apart_ms
    follow(story, Fact.SILENT, sure + 59 * MIN)
    assert story.cases == []
    follow(story, Fact.SILENT, sure + 61 * MIN)
    assert story.cases == ["unsettled"]


# -- a code that is told once ------------------------------------------------------------------------------------------


def test_a_code_whose_answer_was_lost_is_not_asked_for_again() -> None:
    story = Story(attempt="qr")
    story.say(Fact.SILENT, call=Call.PREPAY)
    assert "prepay" not in story.kinds()
    assert story.kinds()[0] == "query"


def test_another_code_may_follow_at_once_since_nobody_can_pay_the_first() -> None:
    story = Story(attempt="qr", unclosable="wait")
    story.say(Fact.SILENT, call=Call.PREPAY)
    assert story.start(method="qr") is not None
    assert [a.no for a in story.payment.attempts] == [NO, NO_2]
    assert story.attempt().superseded_ms
    story.shown(NO_2)
    story.say(Fact.MOVED, NO_2)
    follow(story, Fact.PENDING, start(story) + 5 * MIN)
    assert not story.attempt().settled, "it is followed all the same"


def test_not_while_its_call_is_in_flight() -> None:
    story = Story(attempt="qr", unclosable="wait")
    assert story.start(method="qr") is None, "the same, on its way"
    story.start()
    with pytest.raises(errors.AttemptLive):
        story.start()


def test_not_when_its_code_was_shown() -> None:
    story = Story(attempt="qr", unclosable="wait")
    story.shown()
    assert story.start(method="qr") is None
    assert story.start() is not None
    with pytest.raises(errors.AttemptLive):
        story.start()


# -- money that went back without us -----------------------------------------------------------------------------------


def test_the_channel_says_how_much_went_back_in_all() -> None:
    story = Story().paid()
    story.say(Fact.MOVED, returned_minor=30)
    assert [(r.origin, r.minor, r.status) for r in story.payment.refunds] == [(Origin.OUTSIDE, 30, RefundStatus.DONE)]
    assert story.payment.kept == 70
    assert story.told[-1] == "refund.outside"
    assert story.say(Fact.MOVED, returned_minor=30) is None, "the same again is no news"
    story.say(Fact.MOVED, returned_minor=100)
    assert story.payment.kept == 0


def test_what_we_sent_back_is_not_counted_twice() -> None:
    story = Story().paid()
    story.refund("r", 60)
    number = story.refund_call()
    story.say(Fact.MOVED, returned_minor=60)
    assert len(story.payment.refunds) == 1, "it may be ours, which is on its way"
    story.say(Fact.MOVED, number, call=Call.REFUND)
    story.say(Fact.MOVED, returned_minor=60)
    assert [r.origin for r in story.payment.refunds] == [Origin.APP]
    story.say(Fact.MOVED, returned_minor=100)
    assert [(r.origin, r.minor) for r in story.payment.refunds] == [(Origin.APP, 60), (Origin.OUTSIDE, 40)]
    assert story.payment.kept == 0


def test_what_may_have_been_ours_and_was_not_went_out_without_us() -> None:
    """Somebody gave the same amount back in the console while ours was on its way, and ours came to nothing: nobody
    says it a second time."""
    story = Story().paid()
    story.refund("r", 30)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND)
    story.say(Fact.MOVED, returned_minor=30)
    story.queried(Fact.OVER, number, reason=Reason.REFUSED)
    assert [(r.origin, r.status) for r in story.payment.refunds] == [
        (Origin.APP, RefundStatus.FAILED),
        (Origin.OUTSIDE, RefundStatus.DONE),
    ]
    assert story.payment.kept == 70
    assert story.told[-2:] == ["refund.failed", "refund.outside"]


def test_two_that_went_out_without_us_are_two_whatever_the_total_says() -> None:
    """Of the same total, once less what may be ours, and once more when that came to nothing."""
    story = Story().paid()
    story.refund("r", 30)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND)
    story.say(Fact.MOVED, returned_minor=100)
    story.queried(Fact.OVER, number, reason=Reason.CLOSED)
    assert [(r.minor, r.origin) for r in story.payment.refunds[1:]] == [(70, Origin.OUTSIDE), (30, Origin.OUTSIDE)]
    assert len({a.no for a in story.payment.attempts}) == len(story.payment.attempts) == 4
    assert len({r.refund_no for r in story.payment.refunds}) == 3
    assert (story.payment.kept, story.a_refund("r").status) == (0, RefundStatus.FAILED)
    version = story.payment.version
    story.queried(Fact.MOVED, returned_minor=100)
    assert story.payment.version == version


def told_of(number: str) -> Hear:
    """One message about a payment and a refund of it, which says how much went back in all and not how much by that."""
    paid = Evidence(
        number=NO, fact=Fact.MOVED, road=Road.NOTIFICATION, minor=100, currency="CNY", trade_no=f"trade-{NO}",
        returned_minor=30,
    )  # fmt: skip
    back = Evidence(number=number, fact=Fact.PENDING, road=Road.NOTIFICATION, direction=Direction.OUT, of=NO)
    return Hear(evidence=(paid, back), channel="wx", account="wx")


def test_a_total_does_not_count_twice_what_the_same_message_names() -> None:
    """The row of the refund's call was lost; its number says that it is ours."""
    story = Story().paid()
    story.refund("r", 30)
    step = story.next()
    assert step is not None
    story.take(told_of(step.number))
    assert [r.origin for r in story.payment.refunds] == [Origin.APP]
    story.queried(Fact.MOVED, step.number)
    assert (story.a_refund("r").status, story.payment.kept) == (RefundStatus.DONE, 70)


def test_a_refund_whose_row_was_lost_is_the_one_that_is_asked_for_again() -> None:
    lost = Story().paid()
    lost.refund("r", 30)
    number = lost.refund_call()
    story = Story().paid()
    story.take(told_of(number))
    assert (story.payment.kept, story.told[-1]) == (70, "refund.outside")
    story.refund("r", 30)
    assert [(r.refund_no, r.origin) for r in story.payment.refunds] == [("r", Origin.APP)]
    assert (story.payment.kept, story.kinds()) == (70, [])


def test_surplus_that_somebody_sent_back_already_does_not_go_twice() -> None:
    story = Story().paid()
    story.start_input()
    story.say(Fact.MOVED, NO_2, returned_minor=100, channel="wx")
    assert [(r.origin, r.status) for r in story.payment.refunds] == [
        (Origin.SURPLUS, RefundStatus.DONE),
        (Origin.OUTSIDE, RefundStatus.DONE),
    ]
    assert "refund" not in story.kinds()


def test_more_than_there_was_is_a_case_and_changes_nothing() -> None:
    story = Story().paid()
    story.say(Fact.MOVED, returned_minor=101)
    assert story.cases == ["wrong_content"]
    assert story.payment.refunds == ()


def test_who_refuses_a_refund_is_asked_whether_the_money_is_there_still() -> None:
    story = Story().paid()
    story.refund("r", 60)
    number = story.refund_call()
    story.refused(number)
    story.begin()
    assert (story.attempt().asked, story.attempt().asked_ms) == (Call.QUERY, story.now), "at once"
    story.say(Fact.SILENT, NO, call=Call.QUERY)
    assert story.kinds() == ["query"], "and again, when it does not answer"
    story.begin()
    story.say(Fact.MOVED, NO, call=Call.QUERY, returned_minor=100)
    assert (story.payment.kept, story.kinds()) == (0, [])


# -- money that is still held ------------------------------------------------------------------------------------------


def test_surplus_that_the_channel_will_not_take_back_is_tried_again_before_it_no_longer_can() -> None:
    """A month of tries, then a case that says when it is tried again: thirty days before the window ends."""
    story = Story().paid()
    story.start_input()
    story.say(Fact.MOVED, NO_2, channel="wx")
    tries: list[int] = []
    while (step := story.next()) is not None and len(tries) < 100:
        story.begin()
        if step.kind is StepKind.REFUND:
            tries.append(story.now)
            story.say(Fact.OVER, step.number, call=Call.QUERY_REFUND, answers=step.number)
        elif step.kind is not StepKind.TICK:
            story.say(Fact.OVER, step.number, call=Call(step.kind.value))
    day = 24 * 60 * MIN
    days = [(at - story.attempt(NO_2).moved_ms) // day for at in tries]
    assert days[:4] == [0, 0, 0, 1]
    assert max(b - a for a, b in pairwise(days[:30])) == 1
    assert days[31] == 335, "thirty days before the end"
    assert days[-1] == 364


# -- over is asked again -----------------------------------------------------------------------------------------------


def closed_at_the_channel() -> Story:
    story = Story()
    story.shown()
    story.close()
    story.begin()
    story.say(Fact.PENDING, call=Call.QUERY)
    story.begin()
    story.say(Fact.OVER, call=Call.CLOSE, reason=Reason.CLOSED)
    assert story.payment.status is PaymentStatus.CLOSED
    return story


def test_the_one_question_after_a_close_is_asked_until_it_is_answered() -> None:
    """The payer paid in the moment of the close, nobody told us, and the question after it met a channel in trouble."""
    story = closed_at_the_channel()
    for at_s in (60, 600, 3600):
        step = story.begin()
        assert (step.kind, round((story.now - story.attempt().settled_ms) / S)) == (StepKind.QUERY, at_s)
        story.say(Fact.SILENT, call=Call.QUERY)
    story.begin()
    story.say(Fact.MOVED, call=Call.QUERY)
    assert [r.origin for r in story.payment.refunds] == [Origin.SURPLUS]


def test_once_is_enough_when_it_is_answered() -> None:
    story = closed_at_the_channel()
    story.begin()
    story.say(Fact.OVER, call=Call.QUERY, reason=Reason.CLOSED)
    assert "query" not in story.kinds()


def test_what_another_has_taken_the_place_of_hands_nothing_out_where_a_clock_is_behind() -> None:
    """Of two processes one is ahead by a minute: it switches. The other hears the answer of the call it had made."""
    story = Story()
    story.start()
    story.wait(MIN)
    story.start(method="page")
    assert story.attempt().superseded_ms == story.now
    story.wait(-MIN)
    story.say(Fact.PENDING, call=Call.PREPAY, credential=CREDENTIAL)
    assert (story.attempt().status, story.attempt().shown_ms) == (Status.SENT, 0)
