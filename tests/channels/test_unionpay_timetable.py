"""What a payment that nobody pays costs in calls, by the core's own plan: early looks, one after the time to pay is
over, and UnionPay's own timetable for what may have been missed."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
import pytest

from oncepay.channels.unionpay.channel import CAPABILITIES
from oncepay.channels.unionpay.codes import became_of_payment
from oncepay.channels.verdicts import ABSENT, Verdict
from oncepay.domain.attempt import Call, Status
from oncepay.domain.change import StepKind
from oncepay.domain.payment import PaymentStatus
from tests.unit.domain_kit import NO, POLICY, T0, Story

# The kit calls a channel without a close "union", and its page "form".
METHODS = {"form": CAPABILITIES.methods["front"], "qr": CAPABILITIES.methods["qr"]}
UNIONPAY = {**POLICY, "union": msgspec.structs.replace(CAPABILITIES, methods=METHODS)}
EARLY = [10, 20, 30, 60, 120, 300, 600]  # seconds from the start
CALLS_MAX = 16

Answers = Callable[[bool], Verdict]


def nobody_came(_: bool) -> Verdict:
    return ABSENT


def card_declined(expired: bool) -> Verdict:
    return became_of_payment("61", expired=expired)


def in_progress_to_the_end(expired: bool) -> Verdict:
    return became_of_payment("01" if expired else "05", expired=expired)


def unheard_of(expired: bool) -> Verdict:
    return became_of_payment("B7", expired=expired)


def sure_ms(story: Story) -> int:
    """From when on its time is over by UnionPay's clock too."""
    return story.attempt().expires_ms + CAPABILITIES.absent_margin_ms


def asked_at(story: Story, answers: Answers) -> list[int]:
    """All queries there are, in whole seconds from the start, each answered at once."""
    seconds = []
    while story.next() is not None:
        step = story.begin()
        if step.kind is StepKind.TICK:
            continue
        assert step.kind is StepKind.QUERY
        seconds.append((story.now - T0) // 1000)
        verdict = answers(story.now >= sure_ms(story))
        story.say(verdict.fact, call=Call.QUERY, reason=verdict.reason)
        assert len(seconds) < 100
    return seconds


@pytest.mark.parametrize("method", ["form", "qr"])
@pytest.mark.parametrize(
    ("answers", "settling"),
    [
        (nobody_came, [900, 1200, 1322]),
        (card_declined, [900, 930, 1200]),
        (in_progress_to_the_end, [900, 930, 1200]),
    ],
)
def test_a_payment_that_nobody_pays(method: str, answers: Answers, settling: list[int]) -> None:
    story = Story(policy=UNIONPAY, attempt=method)
    story.shown()
    calls = story.attempt().calls
    assert calls == (1 if method == "qr" else 0)
    seconds = asked_at(story, answers)
    over = settling[-1]
    again = [over + after for after in (600, 2400, 6000, 6 * 3600, 24 * 3600)]
    assert seconds == [*EARLY, *settling, *again]
    assert len(seconds) + calls <= CALLS_MAX
    assert story.attempt().status is Status.OVER
    assert story.payment.status is PaymentStatus.CLOSED
    assert story.cases == []


def test_another_attempt_may_start_when_the_time_to_pay_is_over() -> None:
    """Fifteen minutes whatever the payment's deadline, and five in which UnionPay's clock may still be before it: as long
    as nothing can close it, that is how long it is live."""
    story = Story(policy=UNIONPAY, attempt="form", minutes=24 * 60)
    story.shown()
    assert story.attempt().expires_ms == T0 + 900_000
    while story.attempt().status is not Status.OVER:
        story.begin()
        verdict = card_declined(story.now >= sure_ms(story))
        story.say(verdict.fact, call=Call.QUERY, reason=verdict.reason)
    assert story.now == T0 + 1_200_200
    story.start(method="native")
    assert [a.no != NO and a.channel for a in story.payment.attempts] == [False, "wx"]


def test_what_nobody_knows_is_asked_about_ever_more_rarely_and_shown_to_a_person() -> None:
    """A code that is in no table says nothing; it is never taken for the end."""
    story = Story(policy=UNIONPAY, attempt="form")
    story.shown()
    asked: list[int] = []
    while len(asked) < 50:
        if story.begin().kind is StepKind.QUERY:
            asked.append(story.now)
            story.say(unheard_of(story.now >= sure_ms(story)).fact, call=Call.QUERY)
    assert story.attempt().status is Status.SENT
    assert story.cases == ["unsettled"]
    assert asked[-1] - asked[-2] > (asked[-2] - asked[-3]) * 1.5


def test_money_that_was_missed_is_found() -> None:
    """Nothing was said within the time, as of an internet bank that was slow: seen at UnionPay's own 30 minutes."""
    story = Story(policy=UNIONPAY, attempt="form", minutes=24 * 60)
    story.shown()
    story.close()
    while story.attempt().status is not Status.OVER:
        story.begin()
        if story.last is not None and story.attempt().asked is Call.QUERY:
            verdict = card_declined(story.now >= sure_ms(story))
            story.say(verdict.fact, call=Call.QUERY, reason=verdict.reason)
    assert story.payment.status is PaymentStatus.CLOSED
    step = story.begin()
    assert (step.kind, story.now) == (StepKind.QUERY, T0 + 1_800_200)
    verdict = became_of_payment("00", expired=True)
    story.say(verdict.fact, call=Call.QUERY)
    assert story.attempt().status is Status.SUCCEEDED
    assert [refund.minor for refund in story.payment.refunds] == [100]  # late: it goes back by itself
