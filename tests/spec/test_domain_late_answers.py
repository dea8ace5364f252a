"""Answers that come when the call was made again already."""

from __future__ import annotations

import msgspec

from oncepay.domain.attempt import Call, Fact, Status
from oncepay.domain.capabilities import MIN, H
from oncepay.domain.change import StepKind
from tests.unit.domain_kit import CREDENTIAL, T0, WX, Story

SURE_MS = 60 * MIN + WX.absent_margin_ms  # from an attempt's start: its expiry and the margin


def test_the_code_of_an_earlier_call_is_not_shown_when_a_later_one_may_have_made_it_void() -> None:
    """The first call's answer is so late that it was made again, and the channel makes a new code each time."""
    story = Story()
    assert (story.begin().kind, story.attempt().calls) == (StepKind.PREPAY, 2)
    story.say(Fact.PENDING, call=Call.PREPAY, call_no=1, credential=CREDENTIAL)
    assert not story.attempt().shown_ms
    assert story.attempt().until_ms, "the later one is in flight still"
    newer = msgspec.structs.replace(CREDENTIAL, body='{"code_url":"weixin://2"}')
    story.say(Fact.PENDING, call=Call.PREPAY, call_no=2, credential=newer)
    assert story.attempt().credential == newer.body


def test_an_answer_without_a_time_counts_from_when_it_was_asked_for() -> None:
    """Two processes that had it already stood still: since then the payer may have opened the page."""
    story = Story()
    story.shown()
    story.now = T0 + SURE_MS + H
    for minute in (1, 9):
        story.wait(10 * MIN)
        story.queried(Fact.ABSENT, asked_ms=T0 + minute * MIN)
    assert story.attempt().status is Status.SENT
    story.queried(Fact.ABSENT, asked_ms=T0 + SURE_MS)
    story.queried(Fact.ABSENT, asked_ms=T0 + SURE_MS + WX.absent_apart_ms)
    assert story.attempt().status is Status.OVER
