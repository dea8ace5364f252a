"""What to do next and when. Nothing here counts tries: every offset is measured from what the aggregate already says,
and the first one later than the last call is next, so a process that slept does not catch up with a burst."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from oncepay.domain.attempt import Attempt, Call, Fact, Reason, Status
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, Policy, S
from oncepay.domain.change import Fault, Step, StepKind
from oncepay.domain.desk import end_ms, in_doubt, incoming, never_sent, outgoing, unsettled
from oncepay.domain.payment import Origin, Payment, PaymentStatus, Refund, RefundStatus
from oncepay.domain.settle import free_number, next_try_ms

# Gaps before prepay call n (0 is the first): at once on the second host, then a little later each time.
PREPAY_GAPS_MS: Final = (0, 0, 2 * S, 5 * S, 15 * S)
# Offsets of query-and-close rounds from the moment an attempt is no longer wanted; the last days are the slow tail,
# and whatever is in doubt still is asked at twice the distance each time.
END_AT_MS: Final = (
    200, 1 * S, 5 * S, 30 * S, 150 * S, 5 * MIN, 450 * S, 10 * MIN, 30 * MIN, 1 * H, 2 * H, 4 * H, 8 * H, 16 * H,
    *(n * DAY for n in range(1, 8)),
)  # fmt: skip
LAST_LOOK_MS: Final = 30 * S  # after the expiry of what cannot be closed
SAID_SLACK_MS: Final = 2 * S  # channels sign their time in whole seconds
BALANCE_GAP_MS: Final = 10 * MIN  # before a refund that the balance did not cover is called for again
RAISE_AFTER_MS: Final = 1 * H  # an attempt that is no longer wanted and still not settled
RAISE_OUT_AFTER_MS: Final = 1 * DAY  # a refund whose outcome is still open


def plan(payment: Payment, policy: Policy, now_ms: int) -> Step | None:
    """The next step of a payment, or None when only news can move it. The earliest wins; the story's order decides
    between equals."""
    return min(steps(payment, policy, now_ms), key=lambda step: step.at_ms, default=None)


def steps(payment: Payment, policy: Policy, now_ms: int) -> Iterator[Step]:
    """Every step that lies ahead, one for each attempt and refund that needs one."""
    for attempt in incoming(payment):
        yield from _for_attempt(payment, attempt, policy[attempt.channel], now_ms)
    yield from _for_refunds(payment, policy)
    if payment.status is PaymentStatus.OPEN and not unsettled(payment):
        yield Step(kind=StepKind.TICK, at_ms=payment.deadline_ms, why="the deadline")


def _for_attempt(payment: Payment, a: Attempt, capabilities: Capabilities, now_ms: int) -> Iterator[Step]:
    if a.settled:
        yield from _again(a, capabilities) if a.status is Status.OVER else _doubted(payment, a, capabilities)
        return
    end = end_ms(payment, a)
    if never_sent(a):
        if now_ms < end and capabilities.by_call(a.method):
            yield Step(kind=StepKind.PREPAY, at_ms=a.created_ms, number=a.no, why="nothing was sent yet")
        else:
            yield Step(kind=StepKind.TICK, at_ms=end, number=a.no, why="nothing was sent, nobody wants it")
        return
    yield from _follow(a, capabilities, end, now_ms)
    if not a.raised:
        at_ms = raise_at_ms(payment, a, capabilities)
        yield Step(kind=StepKind.TICK, at_ms=at_ms, number=a.no, why="a person must look")


def raise_at_ms(payment: Payment, a: Attempt, capabilities: Capabilities) -> int:
    """When a person must look at an attempt that is still not settled. What nothing can close, or is not there to be
    closed, has the time to end by itself first."""
    if not a.incoming:
        return a.created_ms + RAISE_OUT_AFTER_MS
    end = end_ms(payment, a)
    if a.fact is Fact.ABSENT or not capabilities.closes:
        end = max(end, a.expires_ms + capabilities.absent_margin_ms + capabilities.absent_apart_ms)
    return end + RAISE_AFTER_MS


def _again(a: Attempt, capabilities: Capabilities) -> Iterator[Step]:
    """Over is asked again: the money may have moved before. Once is enough after an acknowledged close, if that was
    answered."""
    if not a.shown_ms:
        return
    asked = a.asked is Call.QUERY and a.asked_ms > a.settled_ms
    once = a.reason is Reason.CLOSED and not (asked and _unanswered(a))
    offsets = capabilities.again_closed_at_ms if once else capabilities.again_at_ms
    at_ms = _next(offsets, a.settled_ms, a.asked_ms)
    if at_ms:
        yield Step(kind=StepKind.QUERY, at_ms=max(at_ms, a.until_ms), number=a.no, why="over is asked again")


def _doubted(payment: Payment, a: Attempt, capabilities: Capabilities) -> Iterator[Step]:
    """Money of which no more can go back may have gone back without us: who refuses a refund is asked how much did."""
    refused = (out.settled_ms for out in outgoing(payment, of=a.no) if out.reason is Reason.REFUSED)
    at_ms = refused_ms = max(refused, default=0)
    if a.asked is Call.QUERY and a.asked_ms >= refused_ms:
        at_ms = _next(capabilities.again_at_ms, refused_ms, a.asked_ms) if _unanswered(a) else 0
    if at_ms:
        yield Step(kind=StepKind.QUERY, at_ms=max(at_ms, a.until_ms), number=a.no, why="a refund of it was refused")


def _unanswered(a: Attempt) -> bool:
    """Nothing came back on the last call, or nobody was there any more to hear it."""
    return a.fact is Fact.SILENT or a.until_ms > 0


def _follow(a: Attempt, capabilities: Capabilities, end: int, now_ms: int) -> Iterator[Step]:
    if now_ms < end:
        if not a.shown_ms and a.calls < (len(PREPAY_GAPS_MS) if capabilities.renews(a.method) else 1):
            at_ms = max(a.until_ms, a.asked_ms + PREPAY_GAPS_MS[a.calls])
            if at_ms < end:
                yield Step(kind=StepKind.PREPAY, at_ms=at_ms, number=a.no, why="the first call was not answered")
                return
        at_ms = _next(capabilities.query_at_ms, a.created_ms, a.asked_ms)
        if at_ms and at_ms < end:
            yield Step(kind=StepKind.QUERY, at_ms=max(at_ms, a.until_ms), number=a.no, why="the timetable")
            return
    yield from _end(a, capabilities, end)


def _end(a: Attempt, capabilities: Capabilities, end: int) -> Iterator[Step]:
    """Query, close, query once more; and so on, more and more slowly, until the channel has said how it ended."""
    if a.asked_ms < end or a.asked not in {Call.QUERY, Call.CLOSE}:
        yield Step(kind=StepKind.QUERY, at_ms=max(end, a.until_ms), number=a.no, why="it is no longer wanted")
        return
    absent = a.fact is Fact.ABSENT  # then there is nothing to close
    if a.asked is Call.QUERY and capabilities.closes and not absent:
        yield Step(kind=StepKind.CLOSE, at_ms=max(a.asked_ms, a.until_ms), number=a.no, why="it is no longer wanted")
        return
    offsets: Sequence[int] = END_AT_MS
    if absent:
        offsets = _absent_offsets(a, capabilities, end)
    elif not capabilities.closes:
        offsets = _unclosable_offsets(a, capabilities, end)
    at_ms = _next_or_doubled(offsets, end, a.asked_ms)
    yield Step(kind=StepKind.QUERY, at_ms=max(at_ms, a.until_ms), number=a.no, why="how it ended is not known")


def _absent_offsets(a: Attempt, capabilities: Capabilities, end: int) -> list[int]:
    """Absent says nothing before the attempt's expiry and the margin have passed, and has to be said twice then. Till
    then its timetable goes on: a page that somebody still has open may become an order, which is closed when seen."""
    sure = a.expires_ms + capabilities.absent_margin_ms - end
    twice = sure + capabilities.absent_apart_ms + SAID_SLACK_MS
    return [*_looks(a, capabilities, end, sure), sure, twice, *(o for o in END_AT_MS if o > twice)]


def _unclosable_offsets(a: Attempt, capabilities: Capabilities, end: int) -> list[int]:
    """Where nothing can be closed its timetable goes on, and what is asked at the end is asked when its time is over by
    the channel's clock too. One look before: who paid in the last moment is not kept waiting for as long."""
    over = max(a.expires_ms - end, 0)
    sure = max(a.expires_ms + capabilities.absent_margin_ms - end, 0)
    last = min(over + LAST_LOOK_MS, sure)
    return [*_looks(a, capabilities, end, over), last, *(sure + o for o in END_AT_MS)]


def _looks(a: Attempt, capabilities: Capabilities, end: int, before: int) -> Iterator[int]:
    """The timetable's offsets, counted from ``end``, that lie after it and before ``before``."""
    return (o for at in capabilities.query_at_ms if 0 < (o := a.created_ms + at - end) < before)


def _for_refunds(payment: Payment, policy: Policy) -> Iterator[Step]:
    """Refunds of one attempt go one at a time, surplus first."""
    if not payment.refunds:
        return
    waiting = [r.of for r in payment.refunds if r.status is RefundStatus.OPEN]
    for of in dict.fromkeys([*waiting, *(a.of for a in in_doubt(payment))]):
        paying = payment.attempt(of)
        if paying is None:
            continue
        capabilities = policy[paying.channel]
        doubtful = in_doubt(payment, of=of)
        if doubtful:
            for attempt in doubtful:
                yield from _follow_refund(payment, attempt, capabilities)
            continue
        last_ms = max((a.created_ms for a in outgoing(payment, of=of)), default=None)
        open_ones = [r for r in payment.refunds if r.of == of and r.status is RefundStatus.OPEN]
        open_ones.sort(key=lambda r: r.origin is not Origin.SURPLUS)
        for refund in open_ones:
            yield from _next_try(payment, refund, last_ms, capabilities)


def _next_try(payment: Payment, refund: Refund, last_ms: int | None, capabilities: Capabilities) -> Iterator[Step]:
    at_ms = next_try_ms(payment, refund, capabilities)
    if not at_ms:
        return
    if last_ms is not None:
        at_ms = max(at_ms, last_ms + capabilities.refund_spacing_ms)
    yield Step(
        kind=StepKind.REFUND,
        at_ms=at_ms,
        number=free_number(payment, refund.refund_no),
        refund_no=refund.refund_no,
        why="the refund's next try" if outgoing(payment, refund_no=refund.refund_no) else "the refund was asked for",
    )


def _follow_refund(payment: Payment, a: Attempt, capabilities: Capabilities) -> Iterator[Step]:
    sent_never = a.fact is Fact.ABSENT and a.asked is Call.QUERY_REFUND and a.status is not Status.SENT
    if sent_never and not a.until_ms and not a.refused_ms:
        yield Step(
            kind=StepKind.REFUND, at_ms=a.asked_ms, number=a.no, refund_no=a.refund_no, why="the channel never got it"
        )
    else:
        if a.fault == Fault.BALANCE and a.asked is Call.REFUND and not a.until_ms and not a.refused_ms:
            yield Step(
                kind=StepKind.REFUND,
                at_ms=a.asked_ms + BALANCE_GAP_MS,
                number=a.no,
                refund_no=a.refund_no,
                why="there was no balance for it",
            )
        at_ms = _next_or_doubled(capabilities.refund_query_at_ms, a.created_ms, a.asked_ms)
        yield Step(
            kind=StepKind.QUERY_REFUND,
            at_ms=max(at_ms, a.until_ms),
            number=a.no,
            refund_no=a.refund_no,
            why="how the refund ended is not known",
        )
    if not a.raised:
        at_ms = raise_at_ms(payment, a, capabilities)
        yield Step(kind=StepKind.TICK, at_ms=at_ms, number=a.no, why="a person must look")


def _next_or_doubled(offsets: Sequence[int], start_ms: int, asked_ms: int) -> int:
    """As ``_next``; past the timetable's end ever more rarely, so that nothing is given up while it is in doubt, not
    even by a process that slept through all of it."""
    return _next(offsets, start_ms, asked_ms) or start_ms + 2 * (asked_ms - start_ms)


def _next(offsets: Sequence[int], start_ms: int, asked_ms: int) -> int:
    """The first offset that is due after the last call; 0 when the timetable is used up."""
    return next((start_ms + offset for offset in offsets if start_ms + offset > asked_ms), 0)
