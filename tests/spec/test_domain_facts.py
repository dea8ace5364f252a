"""What may be called a fact. Each sentence of the rule stands here once, and fails when its rule is taken out."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Call, Direction, Fact, Reason, Road, Status
from oncepay.domain.capabilities import MIN, H, S
from oncepay.domain.change import Evidence, Fault, Hear, Step, StepKind
from oncepay.domain.payment import Origin, PaymentStatus, RefundStatus
from tests.unit.domain_kit import CALL_MS, CREDENTIAL, NO, NO_2, PAGES, POLICY, T0, WX, Story

PAID, OPEN, CLOSED = PaymentStatus.PAID, PaymentStatus.OPEN, PaymentStatus.CLOSED
SURE_MS = 60 * MIN + WX.absent_margin_ms  # from an attempt's start: its expiry and the margin


def status(story: Story, number: str = NO) -> Status:
    return story.attempt(number).status


# -- silence is never refusal ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("call", [Call.PREPAY, Call.QUERY, Call.CLOSE])
def test_silence_is_never_refusal(call: Call) -> None:
    story = Story()
    for _ in range(20):
        story.wait(MIN)
        story.say(Fact.SILENT, call=call, words="502")
    assert status(story) is Status.UNKNOWN
    assert story.payment.status is OPEN


# -- over is said of the attempt, never of a call ----------------------------------------------------------------------


def test_the_refusal_of_the_only_call_is_over() -> None:
    story = Story()
    story.refused()
    assert (status(story), story.attempt().reason) == (Status.OVER, Reason.REFUSED)
    assert story.attempt().words == "PARAM_ERROR"


def test_the_refusal_of_a_repeated_call_is_silent_with_its_reason_kept() -> None:
    story = Story()
    story.say(Fact.SILENT, call=Call.PREPAY)
    story.begin()
    assert story.attempt().calls == 2
    story.refused(words="INVALID_REQUEST")
    assert (status(story), story.attempt().words) == (Status.UNKNOWN, "INVALID_REQUEST")


def test_a_call_whose_process_died_counts_as_made() -> None:
    story = Story()
    story.wait(CALL_MS)
    assert story.begin().kind is StepKind.PREPAY
    story.refused()
    assert status(story) is Status.UNKNOWN, "the first one's intent is committed: it may have moved the money"


def test_a_refusal_says_nothing_once_a_credential_was_handed_out() -> None:
    story = Story()
    story.shown()
    story.refused()
    assert status(story) is Status.SENT


@pytest.mark.parametrize("shown", [True, False])
def test_over_from_a_query_counts_however_many_calls_were_made(shown: bool) -> None:
    story = Story()
    story.say(Fact.SILENT, call=Call.PREPAY)
    story.begin()
    story.wait(CALL_MS)
    if shown:
        story.shown()
    story.queried(Fact.OVER, reason=Reason.CLOSED)
    assert (status(story), story.attempt().reason) == (Status.OVER, Reason.CLOSED)


@pytest.mark.parametrize("fault", [Fault.ACCOUNT, Fault.BALANCE, Fault.MOMENT])
@pytest.mark.parametrize("call", [Call.PREPAY, Call.QUERY, Call.CLOSE])
def test_faults_of_account_balance_and_moment_are_never_over(fault: Fault, call: Call) -> None:
    story = Story()
    story.say(Fact.OVER, call=call, fault=fault, reason=Reason.REFUSED, words="NO_AUTH")
    assert status(story) is Status.UNKNOWN
    story.wait(MIN)
    step = story.next()
    assert step is not None
    assert (step.kind, step.number) == (StepKind.PREPAY, NO), "the same number is tried later"


@pytest.mark.parametrize(("fault", "kinds"), [(Fault.ACCOUNT, 1), (Fault.BALANCE, 1), (Fault.MOMENT, 0)])
def test_a_fault_of_the_account_is_one_case_of_the_account(fault: Fault, kinds: int) -> None:
    story = Story()
    told = []
    for _ in range(5):
        story.say(Fact.SILENT, call=Call.PREPAY, fault=fault, words="NO_AUTH")
        told += list(story.last.cases) if story.last else []
    assert [(case.about, case.account, case.payment_id) for case in told] == [("wx", "wx", "")] * kinds


def test_an_acknowledged_close_is_over_only_where_a_close_is_final() -> None:
    final = Story()
    final.shown()
    final.say(Fact.OVER, call=Call.CLOSE, reason=Reason.CLOSED)
    assert status(final) is Status.OVER
    not_final = Story(policy={"wx": msgspec.structs.replace(WX, close_final=False)})
    not_final.shown()
    not_final.say(Fact.OVER, call=Call.CLOSE, reason=Reason.CLOSED)
    assert status(not_final) is Status.SENT


# -- absent becomes over only by asking twice --------------------------------------------------------------------------


def test_absent_settles_at_once_when_nothing_was_shown_and_nothing_is_on_its_way() -> None:
    story = Story()
    story.say(Fact.SILENT, call=Call.PREPAY)
    story.wait(10 * S)
    story.queried(Fact.ABSENT)
    assert (status(story), story.attempt().reason) == (Status.OVER, Reason.CLOSED)


def test_absent_does_not_settle_while_a_prepay_is_in_flight() -> None:
    """Another process asked, slowly; its answer comes while the order is being made."""
    story = Story()
    story.say(Fact.SILENT, call=Call.PREPAY)
    story.begin(Step(kind=StepKind.QUERY, at_ms=story.now, number=NO))
    story.wait(CALL_MS)
    assert story.begin().kind is StepKind.PREPAY
    story.say(Fact.ABSENT, call=Call.QUERY)
    assert status(story) is Status.UNKNOWN
    assert story.attempt().until_ms > story.now, "the prepay is still in flight"
    story.say(Fact.PENDING, call=Call.PREPAY, credential=CREDENTIAL)
    assert story.attempt().shown_ms


def test_a_shown_attempt_is_not_over_by_absence_before_its_expiry_and_the_margin() -> None:
    story = Story()
    story.shown()
    for _ in range(12):
        story.wait(5 * MIN)
        story.queried(Fact.ABSENT)
    assert story.now - T0 < SURE_MS
    assert status(story) is Status.SENT
    story.say(Fact.MOVED)
    assert story.payment.status is PAID


def test_absent_twice_minutes_apart_after_expiry_and_margin_is_over() -> None:
    story = Story()
    story.shown()
    story.now = T0 + SURE_MS
    story.queried(Fact.ABSENT)
    assert status(story) is Status.SENT, "once is not enough"
    story.wait(WX.absent_apart_ms - 1)
    story.queried(Fact.ABSENT)
    assert status(story) is Status.SENT, "nor twice in a row"
    story.wait(1)
    story.queried(Fact.ABSENT)
    assert (status(story), story.attempt().reason) == (Status.OVER, Reason.EXPIRED)


def test_once_before_the_margin_does_not_count_as_the_first_of_the_two() -> None:
    story = Story()
    story.shown()
    story.now = T0 + SURE_MS - 1
    story.queried(Fact.ABSENT)
    story.wait(WX.absent_apart_ms)
    story.queried(Fact.ABSENT)
    assert status(story) is Status.SENT


def test_the_channels_signed_time_counts_before_ours() -> None:
    story = Story()
    story.shown()
    story.now = T0 + SURE_MS + H  # our clock runs fast
    for minute in (0, 10, 20):
        story.wait(10 * MIN)
        story.queried(Fact.ABSENT, said_ms=T0 + minute * MIN)
    assert status(story) is Status.SENT
    story.queried(Fact.ABSENT, said_ms=T0 + SURE_MS)
    story.queried(Fact.ABSENT, said_ms=T0 + SURE_MS + WX.absent_apart_ms)
    assert status(story) is Status.OVER


def test_there_after_all_makes_absent_count_from_anew() -> None:
    story = Story()
    story.shown()
    story.now = T0 + SURE_MS
    story.queried(Fact.ABSENT)
    story.wait(MIN)
    story.queried(Fact.PENDING)
    story.wait(WX.absent_apart_ms)
    story.queried(Fact.ABSENT)
    assert status(story) is Status.SENT


def test_statements_that_lack_it_settle_it_alone_after_the_margin() -> None:
    story = Story()
    story.shown()
    story.wait(MIN)
    story.say(Fact.ABSENT, road=Road.STATEMENT)
    assert status(story) is Status.SENT
    story.now = T0 + SURE_MS
    story.say(Fact.ABSENT, road=Road.STATEMENT)
    assert status(story) is Status.OVER


def test_time_alone_never_settles_what_was_sent() -> None:
    story = Story()
    story.shown()
    for _ in range(400):
        story.wait(24 * H)
        story.tick()
    assert status(story) is Status.SENT
    assert story.payment.status is OPEN


def test_an_abandoned_page_that_the_channel_never_saw_ends_closed() -> None:
    """It answers "no such number" for ever: without the rule every abandoned checkout is stuck."""
    story = Story(attempt="page", policy=POLICY)
    story.shown()
    while not story.attempt().settled:
        step = story.begin()
        if step.kind is not StepKind.TICK:
            story.say(Fact.ABSENT, call=Call(step.kind.value))
    assert story.payment.status is CLOSED
    assert story.now - T0 <= 60 * MIN + PAGES.absent_margin_ms + PAGES.absent_apart_ms + 10 * S


def test_money_that_comes_late_on_a_page_thought_over_is_seen() -> None:
    story = Story(attempt="page")
    story.shown()
    story.now = T0 + SURE_MS
    story.queried(Fact.ABSENT)
    story.wait(WX.absent_apart_ms)
    story.queried(Fact.ABSENT)
    assert story.payment.status is CLOSED
    assert "query" in story.kinds()[0], "it is asked again"
    story.begin()
    story.say(Fact.MOVED, call=Call.QUERY)
    assert [r.origin for r in story.payment.refunds] == [Origin.SURPLUS]


# -- moved needs the right content -------------------------------------------------------------------------------------

WRONG: list[dict[str, Any]] = [
    {"minor": 1},
    {"minor": 101},
    {"currency": "USD"},
    {"minor": None},
    {"currency": None},
    {"wrong": "mchid is '2', not '1'"},
    {"wrong": "appid is '2', not '1'"},
    {"account": "wx-of-somebody-else"},
    {"channel": "pages", "account": "wx"},
    {"direction": Direction.OUT},
]


@pytest.mark.parametrize("content", WRONG, ids=str)
def test_moved_with_wrong_content_is_a_case_and_changes_nothing(content: dict[str, Any]) -> None:
    story = Story()
    story.shown()
    before = story.payment
    story.say(Fact.MOVED, **content)
    assert story.cases == ["wrong_content"]
    assert story.told == []
    assert story.payment == msgspec.structs.replace(before, rev=before.rev + 1)
    assert story.last is not None
    assert [bool(e.wrong) for e in story.last.evidence] == [True], "it is kept as evidence"
    story.say(Fact.MOVED)
    assert story.payment.status is PAID, "and poisons nothing"


@pytest.mark.parametrize("content", [{"minor": 59}, {"currency": "USD"}, {"of": NO_2}, {"minor": None}], ids=str)
def test_a_refund_with_wrong_content_is_a_case_and_changes_nothing(content: dict[str, Any]) -> None:
    story = Story().paid()
    story.refund("r1", 60)
    number = story.refund_call()
    story.say(Fact.MOVED, number, **content)
    assert "wrong_content" in story.cases
    assert story.a_refund("r1").status is RefundStatus.OPEN
    assert not story.attempt(number).settled


def test_one_message_may_hold_a_payment_and_its_refund() -> None:
    story = Story()
    story.shown()
    paid = story.evidence(Fact.MOVED)
    back = Evidence(
        number="console-1", fact=Fact.MOVED, road=Road.NOTIFICATION, direction=Direction.OUT, of=NO, minor=40
    )
    story.take(Hear(evidence=(paid, back), channel="wx", account="wx"))
    assert (story.payment.status, story.payment.kept) == (PAID, 60)
    assert story.told == ["paid", "refund.outside"]
    assert story.payment.version == 1, "one event a version"


# -- what contradicts itself -------------------------------------------------------------------------------------------


def test_over_after_success_is_a_case_and_changes_nothing() -> None:
    story = Story().paid()
    story.queried(Fact.OVER, reason=Reason.CLOSED)
    assert story.cases == ["contradiction"]
    assert (status(story), story.payment.status, story.payment.kept) == (Status.SUCCEEDED, PAID, 100)


def test_a_second_trade_for_one_number_is_a_case() -> None:
    story = Story().paid()
    story.say(Fact.MOVED, trade_no="another")
    assert story.cases == ["contradiction"]
    assert story.attempt().trade_no == f"trade-{NO}"
    assert story.payment.version == 1


@pytest.mark.parametrize("fact", [Fact.ABSENT, Fact.SILENT, Fact.PENDING])
def test_less_than_we_know_is_no_contradiction(fact: Fact) -> None:
    story = Story().paid()
    story.queried(fact)
    assert story.cases == []
    assert status(story) is Status.SUCCEEDED


def test_a_channel_that_says_some_went_back_when_we_asked_for_none_is_a_case_once() -> None:
    story = Story()
    story.shown()
    for _ in range(3):
        story.queried(Fact.MOVED, refunded=True)
    assert story.payment.status is PAID, "the state REFUND says that it was paid"
    assert story.cases == ["outside_refund"]


# -- repeats -----------------------------------------------------------------------------------------------------------


def test_a_repeat_makes_no_change_at_all() -> None:
    story = Story().paid()
    for _ in range(3):
        assert story.say(Fact.MOVED, channel_ms=T0) is None
        assert story.say(Fact.PENDING) is None


def test_a_query_without_news_moves_no_version() -> None:
    story = Story()
    story.shown()
    for _ in range(3):
        story.queried(Fact.PENDING)
        assert story.last is not None
        assert story.last.event is None
    assert (story.payment.version, story.told) == (0, [])


def test_an_abnormal_refund_is_pending_and_one_case() -> None:
    story = Story().paid()
    story.refund("r1", 60)
    number = story.refund_call()
    story.say(Fact.PENDING, number, call=Call.REFUND)
    for _ in range(3):
        story.say(Fact.PENDING, number, attention="refund_abnormal", words="ABNORMAL", minor=60)
    assert story.cases == ["refund_abnormal"]
    assert (story.a_refund("r1").status, story.payment.kept) == (RefundStatus.OPEN, 40), "the reservation stays"


def test_what_is_learned_later_of_money_that_paid_is_a_version_of_its_own() -> None:
    story = Story()
    story.shown()
    story.say(Fact.MOVED, trade_no="")
    story.say(Fact.MOVED, trade_no="trade")
    assert story.told == ["paid", "paid.detail"]
    assert story.payment.version == 2


# -- credentials -------------------------------------------------------------------------------------------------------


def test_a_credential_is_shown_by_the_change_that_holds_it() -> None:
    story = Story()
    story.shown()
    assert (story.attempt().shown_ms, story.attempt().credential) == (T0, CREDENTIAL.body)


def test_a_long_credential_is_stored_apart() -> None:
    story = Story()
    body = '{"form":"' + "x" * 600 + '"}'
    story.say(Fact.PENDING, call=Call.PREPAY, credential=msgspec.structs.replace(CREDENTIAL, body=body))
    assert story.last is not None
    assert story.last.credential == (NO, body)
    assert (story.attempt().credential, story.attempt().credential_apart) == ("", True)


@pytest.mark.parametrize("end", ["closing", "superseded", "paid elsewhere", "expired", "over"])
def test_no_credential_is_given_out_for_what_is_no_longer_wanted(end: str) -> None:
    story = Story()
    if end == "closing":
        story.close()
    elif end == "superseded":
        story.start(same="another")
    elif end == "paid elsewhere":
        story.say(Fact.MOVED, NO_2)
    elif end == "expired":
        story.wait(60 * MIN)
    else:
        story.say(Fact.OVER, call=Call.QUERY)
    story.say(Fact.PENDING, call=Call.PREPAY, credential=CREDENTIAL)
    assert (story.attempt().shown_ms, story.attempt().credential) == (0, "")
