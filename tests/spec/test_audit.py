"""The audit sees what is wrong: one thing of a sound payment is made otherwise, and just that rule is broken."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from oncepay.domain.attempt import Status
from oncepay.domain.payment import Origin, Payment, PaymentStatus, Refund, RefundStatus
from oncepay.engine import audit as audit_module
from oncepay.engine.audit import BookRow, Report, Wanted, audit
from oncepay.ports import UnappliedRow
from tests.spec.centre import Town
from tests.spec.ways import starts_with

replace = msgspec.structs.replace


class Otherwise:
    """A ledger that tells one thing otherwise."""

    def __init__(self, ledger: Any, **changed: Callable[[Any], Any]) -> None:
        self._ledger, self._changed = ledger, changed

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._ledger, name)
        if name not in self._changed:
            return found

        async def told(*given: Any, **named: Any) -> Any:
            return self._changed[name](await found(*given, **named))

        return told


def of_payments(change: Callable[[Payment], Payment]) -> dict[str, Callable[[Any], Any]]:
    return {"payments": lambda told: ([change(payment) for payment in told[0]], told[1])}


def first_attempt(**fields: Any) -> dict[str, Callable[[Any], Any]]:
    return of_payments(lambda p: replace(p, attempts=(replace(p.attempts[0], **fields), *p.attempts[1:])))


def last_attempt(**fields: Any) -> dict[str, Callable[[Any], Any]]:
    return of_payments(lambda p: replace(p, attempts=(*p.attempts[:-1], replace(p.attempts[-1], **fields))))


def refund(**fields: Any) -> dict[str, Callable[[Any], Any]]:
    return of_payments(lambda p: replace(p, refunds=(replace(p.refunds[0], **fields),)))


def more_refunds(*more: Refund) -> dict[str, Callable[[Any], Any]]:
    return of_payments(lambda p: replace(p, refunds=(*p.refunds, *(replace(r, of=p.paid_by) for r in more))))


def rows(name: str, change: Callable[[list[Any]], list[Any]]) -> dict[str, Callable[[Any], Any]]:
    return {name: change}


def _again(payment: Payment) -> Payment:
    """A second number of its refund went out."""
    second = replace(payment.attempts[-1], no=payment.attempts[-1].no[:-1] + "Z")
    return replace(payment, attempts=(*payment.attempts, second))


MESSAGE = UnappliedRow(
    payment_id="", key="k", channel="wechat", account="wx", road="notification", body=b"{}", why="it raised", at_ms=1
)
OWN = Refund(refund_no="B", minor=8000, of="", created_ms=1)

WRONG: dict[str, tuple[str, dict[str, Callable[[Any], Any]]]] = {
    "the order has another payment": ("order", of_payments(lambda p: replace(p, order_no="A-2"))),
    "kept is less than told": ("money", more_refunds(replace(OWN, minor=100))),
    "money is kept that does not pay": ("money", of_payments(lambda p: replace(p, paid_by=""))),
    "paid by nothing": ("paid", of_payments(lambda p: replace(p, paid_by=""))),
    "paid by what did not succeed": ("paid", first_attempt(status=Status.SENT)),
    "paid by less than was owed": ("paid", first_attempt(minor=100)),
    "closed while it can be paid": (
        "paid",
        of_payments(
            lambda p: replace(
                p,
                status=PaymentStatus.CLOSED,
                paid_by="",
                closed_ms=10**15,
                attempts=(replace(p.attempts[0], status=Status.SENT),),
            )
        ),
    ),
    "more goes back than came": ("ceiling", more_refunds(OWN)),
    "a refund of nothing": ("ceiling", more_refunds(replace(OWN, minor=0))),
    "an app takes surplus": ("ceiling", refund(of="elsewhere")),
    "a refund went out twice": ("refunds", of_payments(_again)),
    "a refund is done and nothing went": ("refunds", last_attempt(status=Status.SENT)),
    "a refund failed and went": ("refunds", refund(status=RefundStatus.FAILED)),
    "another amount went": ("refunds", last_attempt(minor=1)),
    "two of a number": ("attempts", of_payments(lambda p: replace(p, attempts=(*p.attempts, p.attempts[0])))),
    "a number of another payment": ("attempts", first_attempt(no="0" * 28)),
    "it reverses nothing": ("attempts", last_attempt(of="0" * 28)),
    "nobody said so": ("evidence", rows("evidence", lambda _: [])),
    "another amount was said": (
        "evidence",
        rows("evidence", lambda told: [replace(row, minor=1) if row.minor else row for row in told]),
    ),
    "what moved is not counted": (
        "evidence",
        rows("evidence", lambda told: [*told, replace(told[-1], number="0" * 28)]),
    ),
    "an event is missing": ("versions", rows("payment_events", lambda told: told[1:])),
    "an event too many": ("versions", rows("payment_events", lambda told: [*told, replace(told[-1], version=9)])),
    "the last event tells another refund": (
        "versions",
        rows("payment_events", lambda told: [*told[:-1], replace(told[-1], data=told[-2].data)]),
    ),
    "never on its way": ("deliveries", {"deliveries": lambda told: (told[0][1:], told[1])}),
    "due and no time": (
        "deliveries",
        {"deliveries": lambda told: ([replace(row, status="due") for row in told[0]], told[1])},
    ),
    "due for long": (
        "overdue",
        {"deliveries": lambda told: ([replace(row, status="due", due_ms=1) for row in told[0]], told[1])},
    ),
    "nothing works": ("work", {"stats": lambda told: {**told, "payments_due_age_ms": 1e9}}),
}


async def _sound(town: Town) -> Payment:
    """A payment that was paid, and refunded in part; the endpoint was known long before."""
    await town.passes(120)
    shown = await town.pay("A-1")
    await town.payer_pays(shown)
    await town.refunds(shown.payment, "A", 1100)
    await town.passes(60)
    return await town.now(shown.payment)


async def _audited(town: Town, changed: dict[str, Callable[[Any], Any]], **wanted: Any) -> Report:
    return await audit(Otherwise(town.engine.ledger, **changed), Wanted(**wanted), town.now_ms)


async def test_each_rule_sees_what_breaks_it(town: Town) -> None:
    payment = await _sound(town)
    sound = await _audited(town, {})
    assert not sound.findings
    assert sound.payments == {"paid": 1}
    assert (sound.money["CNY"].came, sound.money["CNY"].back, sound.money["CNY"].kept) == (8800, 1100, 7700)
    missed = {}
    for name, (rule, changed) in WRONG.items():
        report = await _audited(town, changed)
        if rule not in report.broken():
            missed[name] = dict(report.broken())
    assert not missed
    unread = [replace(MESSAGE, payment_id=payment.id)]
    report = await _audited(town, {"unapplied": lambda _: unread})
    assert report.broken() == {"overdue": 1}


async def test_money_that_went_out_without_us_is_no_finding(town: Town) -> None:
    await town.passes(120)
    shown = await starts_with(town, "A-1", "alipay-page")
    await town.payer_pays(shown)
    town.sandbox.refund(shown.payment.id + "00", 1000, "alipay")
    await town.quiet()  # only the notification says how much went back: a query does not
    payment = await town.now(shown.payment)
    assert [r.origin for r in payment.refunds] == [Origin.OUTSIDE]
    report = await _audited(town, {})
    assert not report.findings
    assert report.money["CNY"].kept == 7800


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        (lambda rows: rows, 0),
        (lambda rows: [replace(row, paid=1) for row in rows], 1),
        (lambda rows: [replace(row, refunded=0) for row in rows], 1),
        (lambda rows: [], 1),
        (lambda rows: [*rows, BookRow(number="7" * 28, paid=5)], 1),
        (lambda rows: [*rows, replace(rows[0], number=rows[0].number[:-1] + "9")], 1),
    ],
    ids=["the same", "other money in", "other money out", "unknown to the books", "unknown to us", "no such attempt"],
)
async def test_the_books_are_compared_by_number(town: Town, change: Any, wrong: int) -> None:
    payment = await _sound(town)
    told = [BookRow(number=r.number, paid=r.paid, refunded=r.refunded) for r in town.rows(payment)]
    books = {row.number: row for row in change(told)}
    report = await _audited(town, {}, books=books)
    assert report.broken() == ({"books": wrong} if wrong else {})
    partial = await _audited(town, {}, books=books, complete=False)
    assert len(partial.findings) == (0 if not books else wrong)


async def test_a_window_hides_no_money_that_no_payment_has(town: Town) -> None:
    """What lies outside the window is looked up by its number: only what is nowhere is a finding."""
    payment = await _sound(town)
    told = [BookRow(number=r.number, paid=r.paid, refunded=r.refunded) for r in town.rows(payment)]
    lost = BookRow(number=told[0].number[:-3] + "zz0", paid=5)
    strange = [BookRow(number="7" * 28, paid=5), BookRow(number="not one of ours \0", paid=5), lost]
    books = {row.number: row for row in (*told, *strange, BookRow(number="8" * 28, paid=0))}
    for window in ({}, {"since_ms": town.now_ms + 1}, {"until_ms": 1}, {"until_ms": 1, "complete": False}):
        report = await _audited(town, {}, books=books, **window)
        assert {f.text.split()[3].rstrip(",") for f in report.findings} >= {"7" * 28, lost.number}
        assert report.broken() == {"books": len(strange)}
        assert report.books == (0 if window else len(told))


async def test_what_a_bank_debits_too_late_is_a_finding_until_it_went_back(town: Town) -> None:
    await town.passes(120)
    shown = await starts_with(town, "A-1", "unionpay-front", minutes=10)
    form = json.loads(shown.credential)
    town.sandbox.pay_for({"form": {"action": form["action"], "fields": form["fields"]}, "fail": "64"})
    await town.passes(3600)
    town.faults({"fault": "late_bank"})
    town.sandbox.pay(shown.payment.id + "00")
    found: list[Any] = []
    books: dict[str, BookRow] = {}
    for days in (1, 6):
        await town.passes(days * 86_400)
        rows = town.rows(await town.now(shown.payment))
        books = {r.number: BookRow(number=r.number, paid=r.paid, refunded=r.refunded) for r in rows}
        found.append((await _audited(town, {}, books=books)).broken())
    assert [(row.paid, row.refunded) for row in books.values()] == [(8800, 8800)]
    assert found == [{"books": 1}, {}]
    in_doubt = await _audited(town, first_attempt(status=Status.UNKNOWN), books=books)
    assert in_doubt.broken()["books"] == 2, "nobody has said that it is over: that is no such money"


async def test_what_changes_while_it_is_read_is_no_finding(town: Town) -> None:
    """The first reading of the payment is from before its refund; everything else is from after."""
    await town.passes(120)
    shown = await town.pay("A-1")
    await town.payer_pays(shown)
    before = await town.now(shown.payment)
    await town.refunds(before, "A", 1100)
    await town.passes(60)
    report = await _audited(town, of_payments(lambda _: before))
    assert not report.findings


async def test_money_that_neither_pays_nor_goes_back_is_named(town: Town) -> None:
    payment = await _sound(town)
    told = await _audited(town, of_payments(lambda p: replace(p, paid_by="")))
    texts = [finding.text for finding in told.findings if finding.rule == "money"]
    assert f"7700 of {payment.attempts[0].no} neither pays nor goes back" in texts


async def test_all_pages_are_read(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    payment = await _sound(town)
    for n in range(2, 4):
        await town.pay(f"A-{n}")
    assert payment.version > 1, "with more than one delivery"
    monkeypatch.setattr(audit_module, "PAGE", 1)
    told = await _audited(town, {})
    assert (told.findings, told.payments) == ([], {"paid": 1, "open": 2})
