"""Answers that come when the call was made again already."""

from __future__ import annotations

import msgspec

from oncepay.domain.attempt import Call, Fact
from oncepay.domain.change import StepKind
from tests.unit.domain_kit import CREDENTIAL, Story


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
