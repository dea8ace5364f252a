"""What a channel says it can do: data that the engine reads, so it must hold together and not cost too much."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Final

import msgspec

from oncepay.domain.attempt import Call, Fact, Reason
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, S
from oncepay.domain.change import Begin, Credential, Evidence, Hear, Input, Start, Step, StepKind, Tick
from oncepay.domain.decide import create, decide
from oncepay.domain.money import DIGITS
from oncepay.domain.payment import Payment
from oncepay.domain.plan import plan
from oncepay.testing.conformance.story import APP, MINOR, ORDER_NO, PAYMENT_ID, road_of
from oncepay.testing.conformance.subject import Subject

CALLS_MAX: Final = 16  # for a payment that is never paid, whatever its deadline
CALL_DEADLINE_MAX_MS: Final = 20 * S  # what is lent to a worker comes back after 30 s
START_MS: Final = 1_800_000_000_000
LIVES_MS: Final = (15 * MIN, 2 * H, 1 * DAY)
_NAME: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}", re.ASCII)


def abilities_hold_together(subject: Subject) -> None:
    """What the channel can do holds together."""
    can = subject.capabilities
    subject.require(_NAME.fullmatch(subject.channel.name), "name", f"{subject.channel.name!r} is not a short word")
    subject.require(subject.kit.account.channel == subject.channel.name, "name", "the kit's account is not of it")
    subject.require(can.methods, "methods", "there is none")
    for name, method in can.methods.items():
        subject.require(_NAME.fullmatch(name), "methods", f"{name!r} is not a short word")
        subject.require(_NAME.fullmatch(method.credential), name, f"its credential {method.credential!r} is no word")
        subject.require(method.credential_life_ms > 0, name, "its credential never works")
        subject.require(method.made_by_call or method.renewable, name, "what is made without a call can be made again")
    subject.require(can.currencies, "currencies", "there is none")
    for currency in sorted(can.currencies):
        subject.require(currency in DIGITS, "currencies", f"{currency!r} is not in ISO 4217")
    subject.require(0 < can.expiry_min_ms <= can.expiry_max_ms, "expiry", "the least is not below the most")
    for name in ("query_at_ms", "again_at_ms", "again_closed_at_ms", "refund_query_at_ms"):
        offsets: Sequence[int] = getattr(can, name)
        rising = all(one < next_ for one, next_ in pairwise((0, *offsets)))
        subject.require(rising, name, f"{offsets} does not rise from above 0")
    subject.require(all(gap > 0 for gap in can.refund_retry_at_ms), "refund_retry_at_ms", "a gap is not above 0")
    subject.require(can.query_at_ms, "query_at_ms", "an attempt is never asked about")
    subject.require(can.refund_query_at_ms, "refund_query_at_ms", "a refund is never asked about")
    subject.require(can.refund_count > 0, "refund_count", "money that is not ours must be able to go back")
    for name in ("absent_margin_ms", "refund_spacing_ms", "refund_window_ms"):
        subject.require(getattr(can, name) >= 0, name, "is below 0")
    subject.require(can.absent_apart_ms > 0, "absent_apart_ms", "absent must be said twice, some time apart")
    subject.require(0 < can.call_deadline_ms <= CALL_DEADLINE_MAX_MS, "call_deadline_ms", "is not within 20 s")


def never_paid_costs_little(subject: Subject) -> None:
    """A payment that is never paid costs at most 16 calls."""
    can = subject.capabilities
    lives = sorted({min(max(life, can.expiry_min_ms), can.expiry_max_ms) for life in (0, *LIVES_MS, can.expiry_max_ms)})
    for name, method in can.methods.items():
        for life_ms in lives:
            for seen in (True,) if method.made_by_call else (True, False):
                calls = Unpaid(can, name, life_ms, seen=seen).calls()
                told = f"{name}, {life_ms // 1000} s to pay, {'never paid' if seen else 'its page never opened'}"
                subject.require(len(calls) <= CALLS_MAX, told, f"costs {len(calls)} calls: {', '.join(calls)}")


class Unpaid:
    """A payment that nobody pays, followed by the real core to its end. ``seen``: the vendor knows of the order, as it
    does not of a page that the payer never opened."""

    def __init__(self, can: Capabilities, method: str, life_ms: int, *, seen: bool) -> None:
        self._can, self._seen = can, seen
        self._policy = {"it": can}
        self._now_ms = START_MS
        self._closed = False
        self._credential = Credential(body="{}", until_ms=START_MS + life_ms)
        by_call = can.by_call(method)
        payment = Payment(
            id=PAYMENT_ID, app=APP, order_no=ORDER_NO, minor=MINOR, currency=min(can.currencies), subject="Tea",
            created_ms=START_MS, deadline_ms=START_MS + life_ms,
        )  # fmt: skip
        start = Start(
            channel="it", method=method, account="it", same="same", call_until_ms=START_MS + 1 if by_call else 0
        )
        self._payment = create(payment, start, self._policy, START_MS).payment
        self._number = self._payment.attempts[0].no
        if by_call:
            self._hear(Call.PREPAY, Fact.PENDING)
        else:
            self._decide(
                Hear(evidence=(), channel="it", account="it", answers=self._number, credential=self._credential)
            )

    def calls(self) -> list[str]:
        """The calls that are made of it, each with its second; a few more than allowed at most."""
        made = ["prepay 0"] if self._payment.attempts[0].calls else []
        while len(made) <= 2 * CALLS_MAX:
            step = plan(self._payment, self._policy, self._now_ms)
            if step is None:
                break
            self._now_ms = max(self._now_ms, step.at_ms)
            if step.kind is StepKind.TICK:
                self._decide(Tick())
            else:
                made.append(f"{step.kind.value} {(self._now_ms - START_MS) // 1000}")
                self._step(step)
        return made

    def _step(self, step: Step) -> None:
        call = Call(step.kind.value)
        self._decide(Begin(step=step, until_ms=self._now_ms + self._can.call_deadline_ms))
        attempt = self._payment.attempts[0]
        fact = Fact.PENDING
        if not self._seen:
            fact = Fact.ABSENT
        elif call is Call.CLOSE:
            fact, self._closed = Fact.OVER, True
        elif self._closed or (not self._can.closes and self._now_ms >= attempt.expires_ms):
            fact = Fact.OVER
        self._hear(call, fact)

    def _hear(self, call: Call, fact: Fact) -> None:
        over = Reason.CLOSED if self._can.closes else Reason.EXPIRED
        evidence = Evidence(
            number=self._number,
            fact=fact,
            road=road_of(call),
            call=call,
            reason=over if fact is Fact.OVER else Reason.NONE,
        )
        credential = self._credential if call is Call.PREPAY else None
        self._decide(
            Hear(evidence=(evidence,), channel="it", account="it", answers=self._number, credential=credential)
        )

    def _decide(self, asked: Input) -> None:
        change = decide(self._payment, asked, self._policy, self._now_ms)
        if change is not None:
            self._payment = msgspec.structs.replace(change.payment)
