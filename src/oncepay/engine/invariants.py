"""What must hold of every payment at every moment, read from what is stored and from nothing that decided it.

Each rule is a sentence an auditor can follow; it yields one clause for each place where it does not hold. Nothing here
asks the core what it thinks: sums are made again, and events, evidence and attempts are held against each other.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final

import msgspec

from oncepay.domain.attempt import Attempt, Direction, Fact, Status
from oncepay.domain.change import Act
from oncepay.domain.ids import payment_id
from oncepay.domain.payment import Origin, Payment, PaymentStatus, Refund, RefundStatus
from oncepay.ports import DeliveryRow, Endpoint, EventRow, EvidenceRow, UnappliedRow

KNOWN_MS: Final = 60_000  # an endpoint is known to all processes well before this


class Kept(msgspec.Struct, frozen=True, kw_only=True):
    """All that is kept of one payment, read at one revision. ``endpoints``: its app's; ``late_ms``: how long something
    may be due before nobody seems to do it."""

    payment: Payment
    installation: str
    events: Sequence[EventRow]
    evidence: Sequence[EvidenceRow]
    deliveries: Sequence[DeliveryRow]
    acts: Sequence[Act]
    unapplied: Sequence[UnappliedRow]
    endpoints: Sequence[Endpoint]
    now_ms: int
    late_ms: int


def _incoming(payment: Payment) -> list[Attempt]:
    return [a for a in payment.attempts if a.direction is Direction.IN]


def back(payment: Payment, of: str) -> int:
    """Minor units of an attempt that went back or are on their way."""
    return sum(r.minor for r in payment.refunds if r.of == of and r.status is not RefundStatus.FAILED)


def moved_in(payment: Payment) -> int:
    """Minor units that came in, by all attempts."""
    return sum(a.minor for a in _incoming(payment) if a.status is Status.SUCCEEDED)


# -- the rules -----------------------------------------------------------------------------------------------------


def _order(kept: Kept) -> Iterator[str]:
    """An order has one payment: its id is made from the order, so a second one has no place."""
    payment = kept.payment
    if payment.id != payment_id(kept.installation, payment.app, payment.order_no):
        yield f"its id is not that of order {payment.order_no!r} of {payment.app}"


def _money(kept: Kept) -> Iterator[str]:
    """What is kept is what paid, less what went or is going back; other money in goes back whole."""
    payment = kept.payment
    for attempt in _incoming(payment):
        if attempt.status is not Status.SUCCEEDED or attempt.no == payment.paid_by:
            continue
        left = attempt.minor - back(payment, attempt.no)
        if left > 0:
            yield f"{left} of {attempt.no} neither pays nor goes back"
    if kept.events:
        last = _snapshot(kept.events[-1])
        paying = payment.attempt(payment.paid_by) if payment.paid_by else None
        mine = paying.minor - back(payment, paying.no) if paying else 0
        if last.get("kept_minor") != mine:
            yield f"{mine} is kept, and its app was told {last.get('kept_minor')}"


def _paid(kept: Kept) -> Iterator[str]:
    """Paid means: an attempt of what was owed succeeded. Closed means: nothing can pay it any more."""
    payment = kept.payment
    paying = payment.attempt(payment.paid_by) if payment.paid_by else None
    if (payment.status is PaymentStatus.PAID) != bool(payment.paid_by):
        yield f"it is {payment.status}, and paid by {payment.paid_by or 'nothing'}"
    if payment.paid_by and (paying is None or paying.direction is not Direction.IN):
        yield f"it is paid by {payment.paid_by}, which is no attempt of its own"
    if paying is not None:
        if paying.status is not Status.SUCCEEDED:
            yield f"it is paid by {paying.no}, which is {paying.status}"
        owed, came = (payment.minor, payment.currency), (paying.minor, paying.currency)
        if owed != came and paying.no not in _vouched(kept):
            yield f"{payment.minor} {payment.currency} was owed, and {paying.minor} {paying.currency} paid it"
    if payment.status is PaymentStatus.CLOSED:
        live = [a.no for a in _incoming(payment) if not a.settled and a.created_ms <= payment.closed_ms]
        yield from (f"it is closed, and {no} may still be paid" for no in live)


def _ceiling(kept: Kept) -> Iterator[str]:
    """Of no attempt more goes back by us than came in, and apps refund what is kept, never surplus."""
    payment = kept.payment
    for attempt in _incoming(payment):
        ours = [r for r in payment.refunds if r.of == attempt.no and r.status is not RefundStatus.FAILED]
        total = sum(r.minor for r in ours if r.origin is not Origin.OUTSIDE)
        if total > attempt.minor:
            yield f"{total} goes back of {attempt.no}, by which {attempt.minor} came"
        if total and attempt.status is not Status.SUCCEEDED:
            yield f"{total} goes back of {attempt.no}, which is {attempt.status}"
    for refund in payment.refunds:
        if refund.minor < 1:
            yield f"refund {refund.refund_no} is of {refund.minor}"
        if refund.origin is Origin.APP and refund.of != payment.paid_by:
            yield f"refund {refund.refund_no} of the app takes from {refund.of}, which did not pay"


def _refunds(kept: Kept) -> Iterator[str]:
    """A refund goes out under one number at a time; it is done if and only if one of them went out."""
    payment = kept.payment
    for refund in payment.refunds:
        tries = [a for a in payment.attempts if a.direction is Direction.OUT and a.refund_no == refund.refund_no]
        went = [a for a in tries if a.status is Status.SUCCEEDED]
        doubtful = [a.no for a in tries if not a.settled]
        if len(went) > 1:
            yield f"refund {refund.refund_no} went out {len(went)} times"
        if len(doubtful) > 1:
            yield f"refund {refund.refund_no} is on its way under {', '.join(doubtful)}"
        if refund.status is RefundStatus.DONE and not went and not _stated(refund):
            yield f"refund {refund.refund_no} is done, and none of its numbers went out"
        if refund.status is RefundStatus.DONE and went and went[0].minor != refund.minor:
            yield f"refund {refund.refund_no} is of {refund.minor}, and {went[0].minor} went out"
        if refund.status is not RefundStatus.DONE and went:
            yield f"{went[0].no} went out, and refund {refund.refund_no} is {refund.status}"
        if refund.status is RefundStatus.FAILED and doubtful:
            yield f"refund {refund.refund_no} failed, and {doubtful[0]} may still go out"


def _attempts(kept: Kept) -> Iterator[str]:
    """Numbers are the payment's own, each once, and each reversal is of an attempt that is there."""
    payment = kept.payment
    numbers = [a.no for a in payment.attempts]
    if len(set(numbers)) != len(numbers):
        yield "two of its attempts have one number"
    for attempt in payment.attempts:
        if attempt.direction is Direction.IN:
            if attempt.no[: len(payment.id)] != payment.id:
                yield f"{attempt.no} is not a number of this payment"
            continue
        reversed_, refund = payment.attempt(attempt.of), payment.refund(attempt.refund_no)
        if reversed_ is None or refund is None or refund.of != attempt.of:
            yield f"{attempt.no} reverses {attempt.of} for refund {attempt.refund_no}, which do not fit"
        elif attempt.currency != reversed_.currency:
            yield f"{attempt.no} is in {attempt.currency}, and reverses {reversed_.currency}"


def _evidence(kept: Kept) -> Iterator[str]:
    """Nothing succeeded without somebody saying so, and whatever a channel said has moved is counted."""
    payment, vouched = kept.payment, _vouched(kept)
    said = {row.number: row for row in kept.evidence if row.fact == Fact.MOVED and not row.wrong}
    for attempt in payment.attempts:
        if attempt.status is not Status.SUCCEEDED or attempt.no in vouched:
            continue
        row, refund = said.get(attempt.no), payment.refund(attempt.refund_no)
        if row is None:
            if refund is None or refund.origin is not Origin.OUTSIDE:
                yield f"{attempt.no} succeeded, and nobody said that its money moved"
        elif row.minor not in {None, attempt.minor} or row.currency not in {None, attempt.currency}:
            yield f"{attempt.no} is of {attempt.minor} {attempt.currency}; {row.minor} {row.currency} moved"
    for number in said:
        known = payment.attempt(number)
        if known is None or known.status is not Status.SUCCEEDED:
            yield f"the channel said that {number} moved, and it is {known.status if known else 'not there'}"


def _versions(kept: Kept) -> Iterator[str]:
    """Versions count from 1 without gaps, each has its event, and the last one tells what is."""
    payment = kept.payment
    versions = [event.version for event in kept.events]
    if versions != list(range(1, payment.version + 1)):
        yield f"it has version {payment.version}, and events of {versions}"
        return
    if payment.rev <= payment.version:
        yield f"revision {payment.rev} cannot have made {payment.version} versions"
    before = 0
    for event in kept.events:
        if _snapshot(event).get("version") != event.version or event.version <= before or not event.changes:
            yield f"the event of version {event.version} does not tell it"
        before = event.version
    if not kept.events:
        return
    last = _snapshot(kept.events[-1])
    if last.get("status") != payment.status:
        yield f"it is {payment.status}, and its app was told {last.get('status')}"
    told = {r["refund_no"]: (r["minor"], r["status"]) for r in last.get("refunds", ())}
    mine = {r.refund_no: (r.minor, r.status.value) for r in payment.refunds if _seen(r)}
    yield from (f"refund {no} is {mine.get(no)}, and its app was told {told.get(no)}" for no in _differing(mine, told))


def _deliveries(kept: Kept) -> Iterator[str]:
    """Every event is on its way to each endpoint of the app, or arrived, or is parked."""
    there = {(row.version, row.endpoint_id) for row in kept.deliveries}
    for event in kept.events:
        for endpoint in kept.endpoints:
            known = endpoint.created_ms + KNOWN_MS < event.at_ms
            if known and (event.version, endpoint.id) not in there:
                yield f"version {event.version} was never on its way to {endpoint.id}"
    for row in kept.deliveries:
        if (row.status == "due") != (row.due_ms is not None):
            yield f"the delivery of version {row.version} to {row.endpoint_id} is {row.status}, due {row.due_ms}"
        if row.version > kept.payment.version:
            yield f"{row.endpoint_id} is told version {row.version}, which is not there"


def _overdue(kept: Kept) -> Iterator[str]:
    """Nothing is due for long, and no message waits to be taken in."""
    before_ms = kept.now_ms - kept.late_ms
    for row in kept.deliveries:
        if row.due_ms is not None and row.due_ms < before_ms:
            yield f"version {row.version} is due to {row.endpoint_id} for {(kept.now_ms - row.due_ms) // 1000} s"
    for message in kept.unapplied:
        if message.at_ms < before_ms:
            yield f"a message of {message.channel} could not be taken in: {message.why}"


RULES: Final[dict[str, Callable[[Kept], Iterator[str]]]] = {
    "order": _order,
    "money": _money,
    "paid": _paid,
    "ceiling": _ceiling,
    "refunds": _refunds,
    "attempts": _attempts,
    "evidence": _evidence,
    "versions": _versions,
    "deliveries": _deliveries,
    "overdue": _overdue,
}


def broken(kept: Kept) -> list[tuple[str, str]]:
    """(rule, what is wrong) of one payment; empty when all holds."""
    return [(name, text) for name, rule in RULES.items() for text in rule(kept)]


def _vouched(kept: Kept) -> set[str]:
    """Numbers of which a person said what no channel told us; who and why is kept as an act."""
    return {act.number for act in kept.acts if act.number}


def _stated(refund: Refund) -> bool:
    """Done without a number of ours: it was paid back by other means, as a person or the channel said."""
    return refund.origin is Origin.OUTSIDE or refund.why == "outside"


def _seen(refund: Refund) -> bool:
    return refund.origin is Origin.APP or refund.status is RefundStatus.DONE


def _snapshot(event: EventRow) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(event.data)
    return told


def _differing(mine: dict[str, Any], told: dict[str, Any]) -> list[str]:
    return sorted(no for no in mine.keys() | told.keys() if mine.get(no) != told.get(no))
