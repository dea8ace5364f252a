"""Questions that are asked once, and whoever asked them died before the answer: that is no answer. Found by the
explorer (``oncepay.testing.explore``)."""

from __future__ import annotations

from oncepay.domain.attempt import Call, Fact, Reason
from oncepay.domain.capabilities import S
from oncepay.domain.change import StepKind
from oncepay.domain.payment import Origin
from tests.unit.domain_kit import NO, Story


def test_the_one_question_after_a_close_is_asked_again() -> None:
    """The payer paid in the moment of the close, and the notification was lost: only this question finds the money."""
    story = Story()
    story.shown()
    story.close()
    for fact, call in ((Fact.PENDING, Call.QUERY), (Fact.OVER, Call.CLOSE)):
        story.begin()
        story.say(fact, call=call, reason=Reason.CLOSED if fact is Fact.OVER else Reason.NONE)
    assert story.begin().kind is StepKind.QUERY
    step = story.begin()  # nobody heard the answer
    assert (step.kind, round((story.now - story.attempt().settled_ms) / S)) == (StepKind.QUERY, 600)
    story.say(Fact.MOVED, call=Call.QUERY)
    assert [r.origin for r in story.payment.refunds] == [Origin.SURPLUS]


def test_how_much_went_back_is_asked_again() -> None:
    """Somebody gave all of it back in the vendor's console, so that ours is refused: only this question finds that."""
    story = Story().paid()
    story.refund("r", 60)
    number = story.refund_call()
    story.refused(number)
    assert (story.begin().kind, story.begin().kind) == (StepKind.QUERY, StepKind.QUERY)
    story.say(Fact.MOVED, NO, call=Call.QUERY, returned_minor=100)
    assert (story.payment.kept, story.payment.refunds[-1].origin) == (0, Origin.OUTSIDE)
    assert story.next() is None
