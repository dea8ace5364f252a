"""What a person may do with a case: each verb changes a payment as news would, refuses what makes no sense, and does
nothing a second time."""

from __future__ import annotations

import msgspec
import pytest

from oncepay.domain.attempt import Call, Direction, Fact, Reason, Status
from oncepay.domain.capabilities import MIN
from oncepay.domain.change import Begin, Step, StepKind, Verb
from oncepay.domain.errors import (
    AmountInvalid,
    Busy,
    Invalid,
    PaymentPaid,
    RefundTooLarge,
    VerbUnfit,
)
from oncepay.domain.payment import Origin, PaymentStatus
from tests.unit.domain_kit import (
    CALL_MS,
    ID,
    NO,
    NO_2,
    SHOWN,
    WX,
    Story,
    with_failed_refund,
    with_unsettled,
    wrongly_paid,
)

PAID, OPEN, CLOSED = PaymentStatus.PAID, PaymentStatus.OPEN, PaymentStatus.CLOSED


# -- the case ----------------------------------------------------------------------------------------------------------


def test_a_case_of_wrong_content_holds_what_a_person_needs_to_act() -> None:
    told = wrongly_paid().data
    assert told == {
        "number": NO, "fact": "moved", "minor": 90, "currency": "CNY", "trade_no": f"trade-{NO}", "channel": "wx",
        "account": "wx", "wrong": "minor is 90, not 100", "ours": True, "channel_ms": told["channel_ms"],
    }  # fmt: skip


def test_each_number_and_each_money_has_a_case_of_its_own() -> None:
    story = Story()
    story.shown()
    about = []
    told = [(NO, "t1", 90), (NO, "t2", 90), ("0" * 28, "t1", 90), (NO, "t1", 80), (NO, "t1", 90)]
    for number, trade_no, minor in told:
        story.say(Fact.MOVED, number, minor=minor, trade_no=trade_no)
        assert story.last is not None
        about += [case.about for case in story.last.cases]
    assert len(set(about)) == 4
    assert about[0] == about[4]


# -- accept ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("minor", [90, 110])
def test_accepted_money_pays_though_it_is_not_what_is_owed(minor: int) -> None:
    story = wrongly_paid(minor)
    change = story.handle(Verb.ACCEPT, evidence=SHOWN)
    assert (story.payment.status, story.payment.paid_by, story.payment.kept) == (PAID, NO, minor)
    assert (story.attempt().status, story.attempt().minor, story.attempt().trade_no) == (
        Status.SUCCEEDED, minor, f"trade-{NO}",
    )  # fmt: skip
    assert story.payment.minor == 100, "what is owed is what was owed"
    assert story.attempt().asked_minor == 100, "and what was asked for is remembered"
    assert story.payment.refunds == ()
    assert story.told == ["paid"]
    assert change is not None
    assert change.event is not None
    assert change.event.snapshot["kept_minor"] == minor
    (act,) = change.acts
    assert (act.verb, act.actor, act.reason, act.evidence, act.number, act.at_ms, act.resolves) == (
        Verb.ACCEPT, "ann", "Because.", SHOWN, NO, story.now, True,
    )  # fmt: skip
    assert act.did == f"{minor / 100:.2f} CNY did arrive by {NO} as trade-{NO} and pay it; 1.00 was owed."


def test_refunds_of_accepted_money_end_at_what_really_came() -> None:
    story = wrongly_paid(90)
    story.handle(Verb.ACCEPT, evidence=SHOWN)
    with pytest.raises(RefundTooLarge, match="90 is kept"):
        story.refund("r1", 91)
    story.refund("r1", 90)
    assert story.payment.kept == 0


@pytest.mark.parametrize("how", ["closing", "closing for good", "closed", "over"])
def test_money_is_accepted_whatever_was_meant_to_become_of_it(how: str) -> None:
    story = Story()
    story.shown()
    if how != "over":
        story.close("refund" if how == "closing for good" else "keep")
    if how in {"closed", "over"}:
        story.queried(Fact.OVER, reason=Reason.CLOSED)
    story.say(Fact.MOVED, minor=90)
    story.handle(Verb.ACCEPT, evidence=SHOWN)
    assert (story.payment.status, story.payment.kept, story.attempt().reason) == (PAID, 90, Reason.NONE)


def test_what_was_accepted_is_not_accepted_again_and_is_no_news_when_it_is_heard() -> None:
    story = wrongly_paid()
    story.handle(Verb.ACCEPT, evidence=SHOWN)
    assert story.handle(Verb.ACCEPT, evidence=SHOWN) is None
    assert story.say(Fact.MOVED, minor=90) is None
    assert story.cases == ["wrong_content"]
    story.say(Fact.MOVED, minor=80)
    assert story.cases == ["wrong_content"] * 2
    assert story.payment.kept == 90


def test_a_paid_payment_is_not_paid_again_by_accepting() -> None:
    story = Story()
    story.shown()
    story.start(same="other")
    story.start(same="other", force=True)
    story.shown(NO_2)
    story.say(Fact.MOVED, NO_2)
    story.say(Fact.MOVED, minor=90)
    with pytest.raises(PaymentPaid, match="can only go back"):
        story.handle(Verb.ACCEPT, evidence=SHOWN)
    story.handle(Verb.REFUND)
    with pytest.raises(PaymentPaid):
        story.handle(Verb.ACCEPT, evidence=SHOWN)
    assert (story.payment.paid_by, story.payment.kept) == (NO_2, 100)
    assert [(r.minor, r.of, r.origin) for r in story.payment.refunds] == [(90, NO, Origin.SURPLUS)]


def test_money_that_goes_back_is_not_accepted() -> None:
    story = wrongly_paid()
    story.handle(Verb.REFUND)
    with pytest.raises(VerbUnfit, match="goes back"):
        story.handle(Verb.ACCEPT, evidence=SHOWN)


def test_an_unsettled_attempt_is_accepted_with_the_channels_number() -> None:
    story = with_unsettled()
    story.handle(Verb.ACCEPT, evidence=SHOWN, trade_no="T-1")
    assert (story.payment.status, story.payment.kept, story.attempt().trade_no) == (PAID, 100, "T-1")


def test_to_accept_and_to_settle_a_person_says_what_shows_it() -> None:
    for verb in (Verb.ACCEPT, Verb.SETTLE):
        with pytest.raises(Invalid) as refused:
            wrongly_paid().handle(verb)
        assert refused.value.fields == {"field": "evidence"}


def test_what_the_channel_said_stands_and_the_person_adds_what_it_did_not_say() -> None:
    for fields in ({"minor": 91}, {"trade_no": "another"}):
        with pytest.raises(Invalid) as refused:
            wrongly_paid().handle(Verb.ACCEPT, evidence=SHOWN, **fields)
        assert refused.value.fields == {"field": next(iter(fields))}
    silent = wrongly_paid(None, currency=None)
    with pytest.raises(Invalid, match="say minor"):
        silent.handle(Verb.ACCEPT, evidence=SHOWN)
    silent.handle(Verb.ACCEPT, evidence=SHOWN, minor=95)
    assert (silent.payment.status, silent.payment.kept) == (PAID, 95)


def test_money_in_another_currency_can_only_go_back() -> None:
    story = wrongly_paid(90, currency="USD")
    with pytest.raises(VerbUnfit, match="USD"):
        story.handle(Verb.ACCEPT, evidence=SHOWN)
    story.handle(Verb.REFUND)
    assert (story.attempt().minor, story.attempt().currency) == (90, "USD")
    assert [(r.minor, r.origin) for r in story.payment.refunds] == [(90, Origin.SURPLUS)]


def test_an_amount_that_is_none_is_not_accepted() -> None:
    with pytest.raises(AmountInvalid):
        wrongly_paid(90, currency="ZZZ").handle(Verb.REFUND)


@pytest.mark.parametrize("verb", [Verb.ACCEPT, Verb.REFUND])
def test_money_that_never_reached_our_account_is_neither_accepted_nor_sent_back(verb: Verb) -> None:
    story = wrongly_paid(100, wrong="mchid is '2', not '1'")
    assert story.data["ours"] is False
    with pytest.raises(VerbUnfit, match="not with our account: mchid is '2', not '1'"):
        story.handle(verb, evidence=SHOWN)


@pytest.mark.parametrize("verb", [Verb.ACCEPT, Verb.REFUND])
def test_a_number_of_another_account_of_ours_is_left_alone(verb: Verb) -> None:
    story = wrongly_paid(100, account="wx-2")
    with pytest.raises(VerbUnfit, match="another account's"):
        story.handle(verb, evidence=SHOWN)


@pytest.mark.parametrize("verb", [Verb.ACCEPT, Verb.REFUND])
def test_an_attempt_whose_row_was_lost_is_adopted_with_the_account_that_it_came_by(verb: Verb) -> None:
    """The payer was switched to another account just before the database lost its last second."""
    story = wrongly_paid(100, ID + "1Z", account="wx-2")
    story.handle(verb, evidence=SHOWN)
    adopted = story.attempt(ID + "1Z")
    assert (adopted.account, adopted.status, adopted.minor) == ("wx-2", Status.SUCCEEDED, 100)
    assert story.payment.paid_by == ("" if verb is Verb.REFUND else ID + "1Z")
    assert [r.minor for r in story.payment.refunds] == ([100] if verb is Verb.REFUND else [])


def test_a_message_that_says_of_no_money_that_it_moved_is_not_accepted() -> None:
    story = Story()
    story.shown()
    story.say(Fact.PENDING, minor=90)
    with pytest.raises(VerbUnfit, match="said pending"):
        story.handle(Verb.ACCEPT, evidence=SHOWN)


def test_a_case_from_before_cases_said_so_much_is_not_taken_for_money() -> None:
    story = Story()
    story.shown()
    with pytest.raises(VerbUnfit):
        story.handle(Verb.ACCEPT, {"number": NO, "wrong": "mchid is '2'", "trade_no": "T"}, evidence=SHOWN)


def test_what_was_never_sent_brought_no_money() -> None:
    story = Story(attempt="")
    start = story.start_input()
    story.take(msgspec.structs.replace(start, call_until_ms=0))
    with pytest.raises(VerbUnfit, match="nothing was ever sent"):
        story.handle(Verb.ACCEPT, {"number": NO}, evidence=SHOWN)


# -- refund ------------------------------------------------------------------------------------------------------------


def test_refunded_money_goes_back_once_by_the_road_it_came_and_the_payment_stays_open() -> None:
    story = wrongly_paid(110)
    change = story.handle(Verb.REFUND)
    assert change is not None
    assert [(act.did, act.resolves) for act in change.acts] == [
        (f"1.10 CNY did arrive by {NO} as trade-{NO} and goes back.", True)
    ]
    assert (story.payment.status, story.payment.kept) == (OPEN, 0)
    assert story.handle(Verb.REFUND) is None
    number = story.refund_call()
    assert (story.attempt(number).minor, story.attempt(number).of) == (110, NO)
    assert story.handle(Verb.REFUND) is None
    story.say(Fact.MOVED, number)
    assert story.handle(Verb.REFUND) is None
    assert story.told == ["surplus.refunded"]
    assert len(story.payment.refunds) == 1
    story.start(same="again")
    story.shown(NO_2)
    story.say(Fact.MOVED, NO_2)
    assert story.payment.paid_by == NO_2


def test_nothing_goes_back_on_a_persons_word_alone() -> None:
    with pytest.raises(VerbUnfit, match="no channel has said"):
        with_unsettled().handle(Verb.REFUND, evidence=SHOWN)


def test_money_that_paid_is_its_apps_to_refund() -> None:
    story = wrongly_paid()
    story.handle(Verb.ACCEPT, evidence=SHOWN)
    with pytest.raises(VerbUnfit, match="its app can refund it"):
        story.handle(Verb.REFUND)


@pytest.mark.parametrize("verb", [Verb.ACCEPT, Verb.REFUND])
def test_other_money_of_a_number_that_has_succeeded_is_not_taken_for_it(verb: Verb) -> None:
    story = Story().paid()
    story.say(Fact.MOVED, minor=90)
    with pytest.raises(VerbUnfit, match=r"has succeeded already: 1\.00 CNY"):
        story.handle(verb, evidence=SHOWN)
    assert story.payment.kept == 100


# -- calls -------------------------------------------------------------------------------------------------------------


def test_a_question_is_asked_now_and_its_answer_is_evidence_as_ever() -> None:
    story = with_unsettled()
    change = story.handle(Verb.QUERY)
    assert change is not None
    assert [(act.number, act.did, act.resolves) for act in change.acts] == [(NO, f"wx is asked about {NO}.", False)]
    assert (story.attempt().asked, story.attempt().until_ms) == (Call.QUERY, story.now + CALL_MS)
    with pytest.raises(Busy):
        story.handle(Verb.QUERY)
    story.say(Fact.MOVED, call=Call.QUERY)
    assert story.payment.status is PAID
    story.handle(Verb.QUERY)
    story.say(Fact.OVER, call=Call.QUERY)
    assert story.cases[-1] == "contradiction", "what has succeeded may be asked about too"


def test_the_refund_s_last_try_is_asked_about() -> None:
    story = with_failed_refund()
    story.handle(Verb.QUERY)
    tried = [a for a in story.payment.attempts if not a.incoming]
    assert [(a.asked, a.until_ms > story.now) for a in tried] == [(Call.QUERY_REFUND, True)]
    story.refund("r2", 1)
    with pytest.raises(VerbUnfit, match="not tried yet"):
        story.handle(Verb.QUERY, {"refund_no": "r2"})


def test_where_a_case_names_no_number_the_channel_is_asked_about_what_is_in_doubt() -> None:
    story = Story()
    story.shown()
    story.start(same="other")
    story.start(same="other", force=True)
    story.wait(MIN)
    story.shown(NO_2)
    change = story.handle(Verb.QUERY, {})
    assert change is not None
    assert change.acts[0].number == NO, "about which it was asked longest ago"
    with pytest.raises(VerbUnfit, match="nothing of it is in doubt"):
        Story().paid().handle(Verb.QUERY, {})


@pytest.mark.parametrize("verb", [Verb.QUERY, Verb.CLOSE, Verb.CANCEL])
def test_a_channel_is_not_asked_about_what_it_never_heard_of(verb: Verb) -> None:
    story = Story(attempt="")
    story.take(msgspec.structs.replace(story.start_input(), call_until_ms=0))
    for number in (NO, NO_2):
        with pytest.raises(VerbUnfit, match="nothing to ask"):
            story.handle(verb, {"number": number})


def test_an_attempt_is_closed_at_the_channel_now() -> None:
    story = Story()
    story.shown()
    change = story.handle(Verb.CLOSE, {"number": NO})
    assert change is not None
    assert story.attempt().asked is Call.CLOSE
    story.say(Fact.OVER, call=Call.CLOSE, reason=Reason.CLOSED)
    assert (story.attempt().status, story.payment.status) == (Status.OVER, OPEN)
    with pytest.raises(VerbUnfit, match=r"is over \(closed\)"):
        story.handle(Verb.CLOSE, {"number": NO})


def test_what_a_channel_cannot_do_is_said() -> None:
    story = Story(attempt="")
    story.start(method="qr")
    story.shown()
    for verb, says in ((Verb.CLOSE, "no call that closes"), (Verb.CANCEL, "no call that cancels")):
        with pytest.raises(VerbUnfit, match=says):
            story.handle(verb, {"number": NO})


@pytest.mark.parametrize("verb", [Verb.CLOSE, Verb.CANCEL])
def test_neither_a_refund_nor_what_has_succeeded_is_closed(verb: Verb) -> None:
    story = Story(policy={"wx": msgspec.structs.replace(WX, cancels=True)}).paid()
    story.refund("r1", 60)
    with pytest.raises(VerbUnfit, match="a refund cannot be closed"):
        story.handle(verb, {"number": story.refund_call()})
    with pytest.raises(VerbUnfit, match="it has succeeded"):
        story.handle(verb, {"number": NO})


def test_a_cancel_says_that_money_may_go_back() -> None:
    story = Story(policy={"wx": msgspec.structs.replace(WX, cancels=True)})
    story.shown()
    story.handle(Verb.CANCEL, {"number": NO})
    assert story.attempt().asked is Call.CANCEL
    assert story.did == [f"wx is asked to cancel {NO}: if it was paid, the money goes back."]
    story.say(Fact.OVER, call=Call.CANCEL, reason=Reason.CLOSED)
    assert story.attempt().status is Status.OVER


def test_a_money_out_that_went_to_nobody_we_know_is_not_accepted() -> None:
    story = Story().paid()
    story.say(Fact.MOVED, "console-1", direction=Direction.OUT, of="0" * 28, minor=10)
    for verb in (Verb.ACCEPT, Verb.REFUND, Verb.QUERY):
        with pytest.raises(VerbUnfit, match="no attempt of this payment"):
            story.handle(verb, evidence=SHOWN)


@pytest.mark.parametrize("kind", [StepKind.CLOSE, StepKind.CANCEL])
def test_the_intent_to_close_what_has_succeeded_meanwhile_is_dropped(kind: StepKind) -> None:
    story = Story().paid()
    assert story.take(Begin(step=Step(kind=kind, at_ms=story.now, number=NO), until_ms=story.now + CALL_MS)) is None
