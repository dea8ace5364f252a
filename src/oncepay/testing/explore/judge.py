"""The promises, judged by the channel's books and by what the app is told; never by what the core thinks of itself."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from oncepay.domain.attempt import Attempt
from oncepay.domain.capabilities import Capabilities, Policy
from oncepay.domain.change import Change
from oncepay.domain.payment import Payment, PaymentStatus, RefundStatus, Unclosable
from oncepay.domain.snapshot import snapshot
from oncepay.testing.explore.story import name_of
from oncepay.testing.explore.world import NOW_MS, Books, Rest, code

GRAPH: Final = {  # the published one: where a payment may go, and by what
    (PaymentStatus.OPEN, PaymentStatus.PAID): "money in",
    (PaymentStatus.OPEN, PaymentStatus.CLOSED): "closed by the app, or by its deadline",
    (PaymentStatus.CLOSED, PaymentStatus.OPEN): "reopened by the app",
    (PaymentStatus.CLOSED, PaymentStatus.PAID): "late money, accepted",
}
CALLS_MAX: Final = 40  # from any state to its end, when nothing more goes wrong


def wrong_change(before: Payment, change: Change) -> str:
    """What is wrong with a change, "" if nothing: the guard goes up by one, the version too just when the app can see
    a difference, that one event tells it, and the status goes only along the published graph."""
    after = change.payment
    was, now = snapshot(before), snapshot(after)
    seen = {**was, "version": 0} != {**now, "version": 0}
    by = after.version - before.version
    if (change.rev, after.rev) != (before.rev, before.rev + 1):
        return "A change does not raise the guard by one"
    if by != seen or (change.event is not None) is not seen:
        what = "The app is told of nothing new" if not seen else "The app can see a difference that no event tells"
        return f"{what}, and the version went up by {by}"
    if change.event is not None and (change.event.snapshot != now or change.event.version != after.version):
        return "The event tells another story than the payment"
    if after.status is not before.status and (before.status, after.status) not in GRAPH:
        return f"The payment went from {before.status} to {after.status}"
    if after.status is PaymentStatus.PAID is not before.status:
        return _wrongly_paid(before)
    return ""


def _wrongly_paid(before: Payment) -> str:
    if before.if_paid == "refund":
        return "The shop wanted no more money when it gave the payment up, and it is paid"
    if before.status is PaymentStatus.CLOSED and before.late != "accept":
        return "The shop takes no late money, and late money has paid the payment"
    return ""


def wrong(payment: Payment, books: Books, policy: Policy, unclosable: Unclosable) -> str:
    """The promise that a state breaks, "" if none."""
    if payment.status is PaymentStatus.PAID:
        paying = payment.attempt(payment.paid_by)
        if books.order(payment.paid_by) != "paid" or paying is None:
            return "The payment is paid, and by the channel's books nobody paid it"
        if paying.minor != payment.minor:
            return f"The payment is paid by {paying.minor}, and {payment.minor} is owed"
    return _too_much_back(payment, books) or _void(payment, books) or _payable_twice(payment, books, policy, unclosable)


def _void(payment: Payment, books: Books) -> str:
    for number, call_no in books.codes:
        attempt = payment.attempt(number)
        if attempt is not None and attempt.credential not in {"", code(call_no)} and books.order(number) == "unpaid":
            return f"{name_of(payment, number).capitalize()} is shown with a code that the channel has made void"
    return ""


def _too_much_back(payment: Payment, books: Books) -> str:
    for refund in payment.refunds:
        tries = [a.no for a in payment.attempts if a.refund_no == refund.refund_no]
        back = [minor for number, _, minor, how in books.backs if number in tries and how != "closed"]
        if len(back) > 1:
            return f"{sum(back)} went back for {name_of(payment, tries[0], tried=False)}"
    for number in dict.fromkeys(of for _, of, _, _ in books.backs):
        gone, came = books.went_back(number), paid_minor(payment, books, number)
        if gone > came:
            return f"{gone} went back, and {came} was paid by {name_of(payment, number)}"
    return ""


def _payable_twice(payment: Payment, books: Books, policy: Policy, unclosable: Unclosable) -> str:
    live = [name_of(payment, a.no) for a in payable(payment, books, policy)]
    if live and payment.status is PaymentStatus.CLOSED:
        return f"The shop was told that the payment is closed, and {live[0]} can still be paid"
    if len(live) > 1 and unclosable == "wait":
        return f"{live[0].capitalize()} and {' and '.join(live[1:])} can both be paid, and the shop's policy is to wait"
    return ""


def payable(payment: Payment, books: Books, policy: Policy) -> Iterator[Attempt]:
    """Attempts of which somebody holds the credential, and for which the channel would take money."""
    for attempt in payment.attempts:
        if attempt.incoming and attempt.shown_ms:
            state = order_of(attempt, books, policy[attempt.channel])
            if state == "unpaid" or (state == "absent" and opens(attempt, policy[attempt.channel])):
                yield attempt


def opens(attempt: Attempt, capabilities: Capabilities) -> bool:
    """Whether a page that was shown can still be opened: the channel may learn of it a little after its time."""
    late_ms = capabilities.absent_margin_ms if capabilities.closes else 0
    return not capabilities.by_call(attempt.method) and attempt.expires_ms + late_ms > NOW_MS


def order_of(attempt: Attempt, books: Books, capabilities: Capabilities) -> str:
    """absent, unpaid, paid, closed: where nothing can be closed, what is unpaid ends with its time."""
    state = books.order(attempt.no)
    if state == "unpaid" and not capabilities.closes and attempt.expires_ms <= NOW_MS:
        return "closed"
    return state


def paid_minor(payment: Payment, books: Books, number: str) -> int:
    """Minor units that came by an attempt."""
    attempt = payment.attempt(number)
    return attempt.minor if attempt is not None and books.order(number) == "paid" else 0


def ended(payment: Payment, rest: Rest) -> bool:
    """Nothing is under way, everything is known, and what is kept is what should be."""
    if rest.flights or rest.told or rest.reader or any(not a.settled for a in payment.attempts):
        return False
    if payment.status is PaymentStatus.OPEN or any(r.status is RefundStatus.OPEN for r in payment.refunds):
        return False
    owed = 0
    if payment.status is PaymentStatus.PAID:
        refunds = (r for r in payment.refunds if r.of == payment.paid_by and r.status is RefundStatus.DONE)
        owed = payment.minor - sum(refund.minor for refund in refunds)
    for number, _ in rest.books.orders:
        back = rest.books.went_back(number)
        if paid_minor(payment, rest.books, number) - back != (owed if number == payment.paid_by else 0):
            return False
    return True
