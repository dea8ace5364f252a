"""Money that went back without us. How much went back in all, said while a refund of ours was in doubt, or heard after it was done: whether ours is part
of it is told by when each of them was, by the channel's clock."""

from __future__ import annotations

import pytest

from oncepay.domain.attempt import Call, Direction, Fact, Reason
from oncepay.domain.capabilities import MIN, H, S
from oncepay.domain.change import Hear
from oncepay.domain.payment import Origin, RefundStatus
from tests.unit.domain_kit import NO, T0, Story


def in_doubt_while_told(said_ms: int = T0) -> tuple[Story, str]:
    """A refund of 30 whose call was not answered, and meanwhile the channel says that 30 went back."""
    story = Story().paid()
    story.refund("r", 30)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND)
    story.say(Fact.MOVED, returned_minor=30, said_ms=said_ms)
    assert (story.payment.kept, len(story.payment.refunds)) == (70, 1), "it may be ours"
    return story, number


def test_what_may_have_been_ours_went_out_without_us_if_ours_went_later() -> None:
    """The first call never reached the channel, and the second was carried out: nobody says the total again."""
    story, number = in_doubt_while_told()
    story.queried(Fact.ABSENT, number)
    story.wait(MIN)
    assert story.refund_call() == number
    story.say(Fact.SILENT, number, call=Call.REFUND)
    story.queried(Fact.MOVED, number)
    assert [(r.origin, r.minor) for r in story.payment.refunds] == [(Origin.APP, 30), (Origin.OUTSIDE, 30)]
    assert (story.payment.kept, story.told[-1], story.cases) == (40, "refund.outside", [])
    version = story.payment.version
    story.queried(Fact.MOVED, number)
    story.say(Fact.MOVED, returned_minor=30, said_ms=T0)
    story.say(Fact.MOVED, returned_minor=60, said_ms=story.now)
    assert (story.payment.version, story.payment.kept) == (version, 40), "however often it is said"


@pytest.mark.parametrize("channel_ms", [T0 - S, T0, T0 + 2 * S, 0])
def test_what_may_have_been_ours_is_ours_if_ours_went_before(channel_ms: int) -> None:
    """Or in the same moment; or the channel does not say when, for our clock is not its own."""
    story, number = in_doubt_while_told()
    story.wait(H)
    story.queried(Fact.MOVED, number, channel_ms=channel_ms)
    assert [(r.origin, r.minor) for r in story.payment.refunds] == [(Origin.APP, 30)]
    assert story.payment.kept == 70


def test_a_total_that_is_heard_late_is_of_when_it_was_said() -> None:
    """A notice is repeated for a day: it is the first time that it was said which counts, whichever is heard first."""
    story = Story().paid()
    story.refund("r", 30)
    number = story.refund_call()
    story.wait(MIN)
    story.say(Fact.MOVED, number, call=Call.QUERY_REFUND)
    story.say(Fact.MOVED, returned_minor=30, said_ms=story.now + MIN)
    assert story.payment.kept == 70
    story.say(Fact.MOVED, returned_minor=30)
    assert story.payment.kept == 70, "when that was, it does not say"
    story.say(Fact.MOVED, returned_minor=30, said_ms=T0)
    assert (story.payment.kept, story.told[-1]) == (40, "refund.outside")
    version = story.payment.version
    story.say(Fact.MOVED, returned_minor=30, said_ms=T0 - MIN)
    assert story.payment.version == version


@pytest.mark.parametrize("settled", [False, True])
def test_a_total_that_is_said_of_a_refund_holds_it_whatever_its_query_says_of_its_time(settled: bool) -> None:
    story = Story().paid()
    story.refund("r", 30)
    number = story.refund_call()
    story.say(Fact.SILENT, number, call=Call.REFUND)
    if settled:
        story.queried(Fact.MOVED, number, channel_ms=T0 + H)
    story.take(told_of(number, 30, T0))
    if not settled:
        story.queried(Fact.MOVED, number, channel_ms=T0 + H)
    assert [(r.origin, r.minor) for r in story.payment.refunds] == [(Origin.APP, 30)]
    assert story.payment.kept == 70


def told_of(number: str, minor: int, said_ms: int) -> Hear:
    """One message about a payment and a refund of it, which says how much went back in all and not how much by that."""
    story = Story().paid()
    paid = story.evidence(Fact.MOVED, returned_minor=minor, said_ms=said_ms)
    back = story.evidence(Fact.PENDING, number, direction=Direction.OUT, of=NO, returned_minor=minor, said_ms=said_ms)
    return Hear(evidence=(paid, back), channel="wx", account="wx")


def test_the_answer_to_a_refund_says_how_much_went_back_in_all() -> None:
    story, number = in_doubt_while_told()
    story.queried(Fact.ABSENT, number)
    assert story.refund_call() == number
    story.say(Fact.PENDING, number, call=Call.REFUND, returned_minor=60)
    assert [(r.origin, r.minor) for r in story.payment.refunds] == [(Origin.APP, 30), (Origin.OUTSIDE, 30)]
    story.queried(Fact.MOVED, number)
    assert (story.payment.kept, story.a_refund("r").status, story.cases) == (40, RefundStatus.DONE, [])


# -- where the channel says only that some went back -------------------------------------------------------------------


def test_that_some_went_back_is_a_case_beside_a_refund_that_the_channel_refused() -> None:
    story = Story().paid()
    story.refund("r", 30)
    story.refused(story.refund_call())
    assert story.kinds() == ["query"], "whether it is there still"
    story.begin()
    story.say(Fact.MOVED, NO, call=Call.QUERY, refunded=True, words="REFUND")
    assert (story.cases, story.a_refund("r").status) == (["outside_refund"], RefundStatus.FAILED)


def test_that_some_went_back_is_no_case_where_it_may_be_ours() -> None:
    """It is said from the moment that the channel has taken a refund, however that ends."""
    asked, called, closed, done = (Story().paid() for _ in range(4))
    for story in (asked, called, closed, done):
        story.refund("r", 30)
    for story in (called, closed, done):
        story.say(Fact.SILENT, story.refund_call(), call=Call.REFUND)
    called.queried(Fact.ABSENT, called.payment.attempts[1].no)
    called.refund_call()
    closed.queried(Fact.OVER, closed.payment.attempts[1].no, reason=Reason.CLOSED)
    done.queried(Fact.MOVED, done.payment.attempts[1].no)
    for story in (asked, called, closed, done):
        story.queried(Fact.MOVED, refunded=True, words="REFUND")
        assert story.cases == []
