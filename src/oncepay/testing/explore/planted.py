"""Rules of the core taken out, one at a time: each must show, in a world so small that its story is short.

python -m oncepay.testing.explore --planted                    which rule, and what shows that it is gone
python -m oncepay.testing.explore --planted "amounts differ"   the whole story
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Final
from unittest.mock import patch

import msgspec

from oncepay.domain.attempt import CREATED as NEW
from oncepay.domain.attempt import OVER, SENT, TRANSITIONS, Attempt, Fact
from oncepay.domain.begin import begin
from oncepay.domain.capabilities import S
from oncepay.domain.change import Begin, Change, Evidence
from oncepay.domain.decide import _change
from oncepay.domain.desk import Desk
from oncepay.domain.hear import _absent_twice
from oncepay.domain.payment import Payment, PaymentStatus, RefundStatus
from oncepay.domain.settle import close_if_over, money_in
from oncepay.testing.explore.world import Small

DOMAIN: Final = "oncepay.domain."


class Rule(msgspec.Struct, frozen=True):
    """``lost``: what the core does without it. ``put``: what stands in its place, by the name of what it replaces.
    ``cells``: or the cells of the table that are changed. ``says``: words of the failure."""

    lost: str
    small: Small
    says: str
    put: dict[str, Any] = {}
    cells: tuple[tuple[Any, Fact, Any], ...] = ()


@contextmanager
def without(rule: Rule) -> Iterator[None]:
    """The core as it would be without the rule."""
    with ExitStack() as stack:
        for name, instead in rule.put.items():
            stack.enter_context(patch(name, instead))
        for status, fact, after in rule.cells:
            stack.enter_context(patch.dict(TRANSITIONS[status], {fact: after}))
        yield


# -- what stands in the place of a rule ------------------------------------------------------------------------------


def _none(*_: Any, **__: Any) -> list[Any]:
    return []


def _yes(*_: Any) -> bool:
    return True


def _no(*_: Any) -> bool:
    return False


def _never_ms(*_: Any) -> int:
    return 10**15


def _first_only(desk: Desk, number: str) -> None:
    if desk.payment.status is PaymentStatus.OPEN:
        money_in(desk, number)


def _kept_by_what_is_done(payment: Payment) -> int:
    paying = payment.attempt(payment.paid_by)
    done = (r.minor for r in payment.refunds if r.of == payment.paid_by and r.status is RefundStatus.DONE)
    return paying.minor - sum(done) if paying else 0


def _after_its_time(desk: Desk, _attempt: Any, evidence: Evidence, sure_ms: int) -> bool:
    return (evidence.said_ms or desk.now_ms) >= sure_ms


def _twice_by_our_clock(desk: Desk, attempt: Attempt, evidence: Evidence, sure_ms: int) -> bool:
    return _absent_twice(desk, attempt, msgspec.structs.replace(evidence, said_ms=0), sure_ms)


def _uncounted(desk: Desk, begun: Begin) -> None:
    begin(desk, begun)
    attempt = desk.payment.attempt(begun.step.number)
    if attempt is not None:
        desk.set_attempt(attempt, calls=1)


def _told_of_messages_only(desk: Desk, before: Payment) -> Change:
    change = _change(desk, before)
    if desk.evidence or desk.payment.status is not PaymentStatus.CLOSED:
        return change
    payment = msgspec.structs.replace(change.payment, version=before.version)
    return msgspec.structs.replace(change, payment=payment, event=None)


def _while_open(payment: Payment) -> list[Attempt]:
    return [a for a in payment.attempts if a.incoming and payment.status is PaymentStatus.OPEN]


def _whoever_pays(payment: Payment, attempt: Attempt) -> bool:
    return not payment.paid_by and attempt.minor == payment.minor


# -- the rules -------------------------------------------------------------------------------------------------------

PAGE: Final = ("page", "call")
NEVER: Final = "states can never end right"
STILL: Final = "can still be paid"
BOTH: Final = "can both be paid"

PLANTED: Final = {
    "absent at once": Rule(
        '"no such number" settles an attempt at once, after its credential was shown',
        Small(may=("start 2", "payer", "payer"), ways=PAGE, unclosable="wait"),
        STILL,
        {DOMAIN + "hear._absent_settles": _yes},
    ),
    "absent never": Rule(
        '"no such number" never settles anything, however often and late it is said',
        Small(may=("close", "payer"), ways=("page",)),
        NEVER,
        {DOMAIN + "hear._absent_settles": _no},
    ),
    "absent once": Rule(
        '"no such number" needs to be said only once',
        Small(may=("close", "lag", "payer"), ways=("page",)),
        STILL,
        {DOMAIN + "hear._absent_twice": _after_its_time},
    ),
    "absent by our clock": Rule(
        '"no such number" counts from when it was heard, not from when the channel said it',
        Small(may=("signed", "stall", "stall", "payer"), ways=("page",)),
        STILL,
        {DOMAIN + "hear._absent_twice": _twice_by_our_clock},
    ),
    "absent when heard": Rule(
        '"no such number" without a time counts from when it was heard, not from when it was asked for',
        Small(may=("dated", "stall", "stall", "payer"), ways=("page",)),
        STILL,
        {DOMAIN + "hear._dated": lambda evidence, _: evidence},
    ),
    "no reservation": Rule(
        "a refund's amount is not reserved while it is under way",
        Small(may=("refund 50", "refund 60", "payer")),
        "110 went back, and 100 was paid",
        {DOMAIN + "payment.Payment.kept": property(_kept_by_what_is_done)},
    ),
    "next number in doubt": Rule(
        "a refund's next number goes out before the last one is known to be over",
        Small(may=("refund 50", "payer")),
        "100 went back for the refund of 50",
        {DOMAIN + "plan.in_doubt": _none, DOMAIN + "settle.in_doubt": _none},
    ),
    "silence is refusal": Rule(
        "a call that nobody answers counts as refused",
        Small(may=("refund 50", "lost", "payer")),
        "100 went back for the refund of 50",
        cells=((NEW, Fact.SILENT, OVER),),
    ),
    "silence closes": Rule(
        "a question that nobody answers counts as the end of an attempt",
        Small(may=("close", "lost", "payer")),
        STILL,
        cells=((SENT, Fact.SILENT, OVER),),
    ),
    "refused again": Rule(
        "the refusal of a repeated call counts, though the first may have done it",
        Small(may=("stall", "refusal", "payer")),
        STILL,
        {DOMAIN + "hear._said_of_attempt": lambda _, evidence: evidence.fact},
    ),
    "calls not counted": Rule(
        "a repeated call is not counted in its intent",
        Small(may=("refund 50", "stall", "refusal", "payer")),
        NEVER,
        {DOMAIN + "decide.begin": _uncounted},
    ),
    "surplus stays": Rule(
        "the money of a second attempt is not sent back",
        Small(may=("start 2", "payer", "payer")),
        NEVER,
        {DOMAIN + "hear.money_in": _first_only},
    ),
    "all money pays": Rule(
        "money for a payment that is paid already pays it once more",
        Small(may=("start 2", "payer", "payer")),
        NEVER,
        {DOMAIN + "settle._pays": _yes},
    ),
    "late money pays": Rule(
        "late money pays a closed payment whatever the app's policy is",
        Small(may=("close", "payer", "late payer")),
        "takes no late money",
        {DOMAIN + "settle._pays": _whoever_pays},
    ),
    "given up and paid": Rule(
        "money pays although the app wanted it back when it gave the payment up",
        Small(may=("close and refund", "payer")),
        "wanted no more money",
        {DOMAIN + "settle._pays": _whoever_pays},
    ),
    "late money unheard": Rule(
        "what is over stays over, and late money is not heard",
        Small(may=("close", "payer", "late payer")),
        NEVER,
        cells=((OVER, Fact.MOVED, OVER),),
    ),
    "over not asked again": Rule(
        "what is over is not asked about again",
        Small(may=("close", "raced", "lost", "payer")),
        NEVER,
        {DOMAIN + "plan._again": lambda *_: iter(())},
    ),
    "not heard is answered": Rule(
        "the one question after a close counts as answered when whoever asked it died",
        Small(may=("close", "raced", "lost", "crash", "payer")),
        NEVER,
        {DOMAIN + "plan._unanswered": lambda attempt: attempt.fact is Fact.SILENT},
    ),
    "followed while it is open": Rule(
        "an attempt is no longer followed once its payment is paid or closed",
        Small(may=("start 2", "payer")),
        NEVER,
        {DOMAIN + "plan.incoming": _while_open},
    ),
    "unwanted not followed": Rule(
        "an attempt that is no longer wanted is not followed to its end",
        Small(may=("close", "payer")),
        NEVER,
        {DOMAIN + "plan._end": lambda *_: iter(())},
    ),
    "left to luck": Rule(
        "what nobody pays is never looked at again",
        Small(may=("payer",)),
        "does not end right by itself",
        {DOMAIN + "plan.steps": lambda *_: iter(())},
    ),
    "asked too often": Rule(
        "what is in doubt is asked about every ten seconds",
        Small(may=("close", "payer"), ways=("page",)),
        "The channel is called",
        {DOMAIN + "plan._next_or_doubled": lambda _offsets, _start_ms, asked_ms: asked_ms + 10 * S},
    ),
    "given up in the end": Rule(
        "when the timetable is used up, what is in doubt is not asked about any more",
        Small(may=("start 2", "payer", "lost"), ways=PAGE, unclosable="wait"),
        "Nothing is done for",
        {DOMAIN + "plan._next_or_doubled": _never_ms},
    ),
    "closed by time": Rule(
        "a payment is closed by its deadline, whatever may still be paid at the channel",
        Small(may=("payer",)),
        STILL,
        {DOMAIN + "settle.unsettled": _none, DOMAIN + "decide.close_if_over": close_if_over},
    ),
    "closed by word": Rule(
        "that a channel says it closes is taken as closed, where it has to be asked after",
        Small(may=("close", "unclosed", "payer"), ways=("soft",)),
        STILL,
        {DOMAIN + "hear._countable_in": lambda _desk, _attempt, evidence: evidence.fact},
    ),
    "two at a time": Rule(
        "a second attempt starts while the first is live",
        Small(may=("start 2", "payer", "payer"), unclosable="wait"),
        BOTH,
        {DOMAIN + "commands.unsettled": _none},
    ),
    "left behind": Rule(
        "an attempt is left behind although its code was shown",
        Small(may=("start 2", "payer", "payer"), ways=("once", "call"), unclosable="wait"),
        BOTH,
        {DOMAIN + "commands._is_stranded": lambda attempt, _: attempt.calls > 0},
    ),
    "shown too late": Rule(
        "a code that comes late is shown, although another attempt has taken its place",
        Small(may=("start 2", "stall", "payer"), ways=("once", "call"), unclosable="wait"),
        BOTH,
        {DOMAIN + "hear._wanted": lambda *_: True},
    ),
    "earlier code": Rule(
        "the late answer of an earlier call brings its code, though a later call has made another",
        Small(may=("stall", "payer"), ways=("anew",)),
        "made void",
        {DOMAIN + "hear._is_of_earlier_call": _no},
    ),
    "amounts differ": Rule(
        "what a notification says is not held against what was asked for",
        Small(may=("liar", "payer")),
        "nobody paid it",
        {DOMAIN + "hear._differing": lambda *_: ""},
    ),
    "no version": Rule(
        "a change that the app can see has no version and no event of its own",
        Small(may=("payer",)),
        "no event tells",
        {DOMAIN + "decide.changes": lambda *_: ()},
    ),
    "no version of time": Rule(
        "a payment that its deadline closes, and no message, has no version and no event of that",
        Small(may=("refusal",)),
        "no event tells",
        {DOMAIN + "decide._change": _told_of_messages_only},
    ),
    "no guard": Rule(
        "a process that has stood still writes what it made of what it once read",
        Small(may=("refund 50", "refund 60", "read", "payer")),
        "has forgotten a number",
        {"oncepay.testing.explore.moves.passes_guard": _yes},
    ),
}
