"""The audit: every payment of an installation held against what must always hold, and against a channel's own books.

It only reads, by the ledger's lists, so it may run at any time beside a centre that works. What looks wrong is read
again until the payment stood still while it was read: a change between two reads is no finding.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import Final

import msgspec

from oncepay.domain.attempt import Direction, Status
from oncepay.domain.ids import ID_LENGTH, payment_of
from oncepay.domain.payment import Payment, RefundStatus
from oncepay.engine.invariants import RULES, Kept, back, broken, moved_in
from oncepay.ports import DeliveryRow, Endpoint, Ledger, Page, UnappliedRow

PAGE: Final = 100
AT_ONCE: Final = 8  # payments read at the same moment: an audit is a guest
STILL_TRIES: Final = 10
ALL: Final = ("work", *RULES, "books")


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """One place where a rule does not hold. ``payment``: pay_..., "" where it is about none."""

    rule: str
    text: str
    payment: str = ""
    app: str = ""
    order_no: str = ""


class BookRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a channel says of one number, in minor units: what came in by it, and what of that went back."""

    number: str
    paid: int
    refunded: int = 0


class Money(msgspec.Struct, kw_only=True):
    """Sums of one currency, in minor units. ``going_back``: of ``back``, what is on its way."""

    came: int = 0
    back: int = 0
    going_back: int = 0

    @property
    def kept(self) -> int:
        """What is left."""
        return self.came - self.back


class Report(msgspec.Struct, kw_only=True):
    """``payments``: by status. ``findings``: empty when all holds. ``books``: how many numbers were compared."""

    payments: Counter[str] = msgspec.field(default_factory=Counter)
    money: dict[str, Money] = msgspec.field(default_factory=dict)
    findings: list[Finding] = msgspec.field(default_factory=list)
    books: int | None = None

    def broken(self) -> Counter[str]:
        """How often each rule does not hold."""
        return Counter(finding.rule for finding in self.findings)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """``since_ms``, ``until_ms``: payments created from, and before; 0: all. ``late_ms``: how long something may be due
    before nobody seems to do it. ``books``: a channel's rows by number; ``complete``: money that they do not name is a
    finding too."""

    since_ms: int = 0
    until_ms: int = 0
    late_ms: int = 600_000
    books: Mapping[str, BookRow] | None = None
    complete: bool = True


async def audit(ledger: Ledger, wanted: Wanted, now_ms: int) -> Report:
    """Look at everything. Raises Unavailable when the store does not answer."""
    report = Report()
    late_ms = (await ledger.stats(now_ms)).get("payments_due_age_ms", 0.0)
    if late_ms > wanted.late_ms:
        text = f"the oldest payment is due for {late_ms / 1000:.0f} s: does anything work?"
        report.findings.append(Finding(rule="work", text=text))
    endpoints = await ledger.endpoints()
    known: dict[str, set[str]] = {}
    for app in await ledger.apps():
        own = [endpoint for endpoint in endpoints if endpoint.app == app.id]
        look = _Look(ledger, own, wanted, now_ms)
        async for payments in _pages(ledger, app.id, wanted):
            for payment, found in await look.at(payments):
                if wanted.books is not None:
                    known[payment.id] = {attempt.no for attempt in payment.attempts}
                _count(report, payment)
                report.findings.extend(found)
    if wanted.books is not None:
        report.books = sum(number in known.get(number[:ID_LENGTH], ()) for number in wanted.books)
        async for finding in _strangers(ledger, wanted.books, known):
            report.findings.append(finding)
    return report


async def _pages(ledger: Ledger, app: str, wanted: Wanted) -> AsyncIterator[list[Payment]]:
    after = ""
    while True:
        payments, after = await ledger.payments(
            app, Page(limit=PAGE, after=after), since_ms=wanted.since_ms, until_ms=wanted.until_ms
        )
        if payments:
            yield payments
        if not after:
            return


class _Look:
    """A look at the payments of one app."""

    def __init__(self, ledger: Ledger, endpoints: list[Endpoint], wanted: Wanted, now_ms: int) -> None:
        self._ledger = ledger
        self._endpoints = endpoints
        self._wanted = wanted
        self._now_ms = now_ms
        self._room = asyncio.Semaphore(AT_ONCE)

    async def at(self, payments: list[Payment]) -> list[tuple[Payment, list[Finding]]]:
        """Each payment with what does not hold of it."""
        messages: dict[str, list[UnappliedRow]] = {}
        for row in await self._ledger.unapplied([payment.id for payment in payments]):
            messages.setdefault(row.payment_id, []).append(row)
        return await asyncio.gather(*(self._at_one(payment, messages.get(payment.id, [])) for payment in payments))

    async def _at_one(self, payment: Payment, messages: list[UnappliedRow]) -> tuple[Payment, list[Finding]]:
        async with self._room:
            for _ in range(STILL_TRIES):
                wrong = [*broken(await self._read(payment, messages)), *_against(self._wanted, payment)]
                if not wrong:
                    return payment, []
                again = await self._ledger.load(payment.id) or payment
                if again.rev == payment.rev:
                    return payment, [_finding(payment, rule, text) for rule, text in wrong]
                payment = again
            return payment, [_finding(payment, "work", "it never stood still for long enough to be looked at")]

    async def _read(self, payment: Payment, messages: list[UnappliedRow]) -> Kept:
        events, evidence, acts, deliveries = await asyncio.gather(
            self._ledger.payment_events(payment.id),
            self._ledger.evidence(payment.id),
            self._ledger.payment_acts(payment.id),
            deliveries_of(self._ledger, payment),
        )
        return Kept(
            payment=payment,
            installation=self._ledger.installation,
            events=events,
            evidence=evidence,
            deliveries=deliveries,
            acts=acts,
            unapplied=messages,
            endpoints=self._endpoints,
            now_ms=self._now_ms,
            late_ms=self._wanted.late_ms,
        )


async def deliveries_of(ledger: Ledger, payment: Payment) -> list[DeliveryRow]:
    """All deliveries of a payment, by version and endpoint."""
    found: list[DeliveryRow] = []
    after = ""
    while True:
        rows, after = await ledger.deliveries(payment.app, Page(limit=PAGE, after=after), payment_id=payment.id)
        found += rows
        if not after:
            return found


def _finding(payment: Payment, rule: str, text: str) -> Finding:
    return Finding(rule=rule, text=text, payment=f"pay_{payment.id}", app=payment.app, order_no=payment.order_no)


def _count(report: Report, payment: Payment) -> None:
    report.payments[payment.status.value] += 1
    came = moved_in(payment)
    if not came:
        return
    money = report.money.setdefault(payment.currency, Money())
    money.came += came
    money.back += sum(back(payment, a.no) for a in payment.attempts if a.direction is Direction.IN)
    money.going_back += sum(r.minor for r in payment.refunds if r.status is RefundStatus.OPEN)


# -- a channel's own books -----------------------------------------------------------------------------------------


def _against(wanted: Wanted, payment: Payment) -> Iterator[tuple[str, str]]:
    """By number: what came in and what went back, as the channel has it and as we have it."""
    if wanted.books is None:
        return
    for attempt in payment.attempts:
        if attempt.direction is not Direction.IN:
            continue
        came = attempt.minor if attempt.status is Status.SUCCEEDED else 0
        went = sum(r.minor for r in payment.refunds if r.of == attempt.no and r.status is RefundStatus.DONE)
        row = wanted.books.get(attempt.no)
        if row is None:
            if came and wanted.complete:
                yield "books", f"{came} came by {attempt.no}, of which the books know nothing"
            continue
        if attempt.status is Status.OVER and not went and row.paid == row.refunded:
            continue  # what a bank debited too late went back by itself, and counts as never paid with both of us
        if row.paid != came:
            yield "books", f"by {attempt.no} came {came}, and the books say {row.paid}"
        if row.refunded != went:
            yield "books", f"of {attempt.no} went back {went}, and the books say {row.refunded}"


async def _strangers(
    ledger: Ledger, books: Mapping[str, BookRow], known: dict[str, set[str]]
) -> AsyncIterator[Finding]:
    """Money under a number of no attempt that we have. ``known``: numbers by payment, of those that were looked at; a
    payment that lies outside the window, or was made meanwhile, is looked up."""
    for number, row in books.items():
        if not row.paid:
            continue
        payment_id = payment_of(number)
        if payment_id and payment_id not in known:
            payment = await ledger.load(payment_id)
            known[payment_id] = {attempt.no for attempt in payment.attempts} if payment is not None else set()
        if number not in known.get(payment_id, ()):
            yield Finding(rule="books", text=f"{row.paid} came by {number}, which is no attempt of any payment")
