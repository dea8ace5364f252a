"""The real core, asked each question once: payments are numbered, and what ``decide`` and ``plan`` said is remembered.

Two payments are one when all their times lie equally far from now: the core compares times and adds to them, so it
cannot tell them apart. ``rev`` and ``version`` are checked at each change and then forgotten: no rule looks at them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

import msgspec

from oncepay.domain.attempt import Attempt
from oncepay.domain.capabilities import DAY
from oncepay.domain.change import Change, Input, Start, Step
from oncepay.domain.decide import create, decide
from oncepay.domain.errors import OncepayError
from oncepay.domain.payment import Payment, Refund
from oncepay.domain.plan import plan
from oncepay.testing.explore.judge import wrong_change
from oncepay.testing.explore.world import FAR_MS, NOW_MS, Small

WAIT_MAX_MS: Final = 400 * DAY  # until the next step, however often it was made in vain
REFUSED: Final = -1  # in place of a payment's number: the core refuses to do that
T = TypeVar("T", Payment, Attempt, Refund)
MS: Final[dict[type, tuple[str, ...]]] = {
    struct: tuple(name for name in struct.__struct_fields__ if name.endswith("_ms"))
    for struct in (Payment, Attempt, Refund)
}


class Core:
    """The payments of one world by number, and the functions between them."""

    def __init__(self, small: Small) -> None:
        self.policy = small.policy()
        self.payments: list[Payment] = []
        self.wrongs: list[str] = []  # promises that a change breaks, or that the core raised
        self._numbers: dict[Payment, int] = {}
        self._decided: dict[tuple[int, Input], int] = {}
        self._planned: dict[int, Step | None] = {}
        self._later: dict[tuple[int, int], int] = {}

    def create(self, payment: Payment, start: Start) -> int:
        """The payment as it is first committed."""
        return self._number(create(payment, start, self.policy, NOW_MS).payment)

    def decide(self, pid: int, asked: Input) -> int:
        """The payment after an input; ``pid`` itself when nothing changes, REFUSED when the core refuses."""
        key = (pid, asked)
        after = self._decided.get(key)
        if after is None:
            after = self._decided[key] = self._decide(pid, asked)
        return after

    def _decide(self, pid: int, asked: Input) -> int:
        before = self.payments[pid]
        change: Change | None = None
        try:
            change = decide(before, asked, self.policy, NOW_MS)
        except OncepayError:
            return REFUSED
        except Exception as error:  # noqa: BLE001 the core must never raise anything else, whatever it hears
            self.wrongs.append(f"The core raised {type(error).__name__}: {error}")
        if change is None:
            return pid
        after = self._number(change.payment)
        if why := wrong_change(before, change):
            self.wrongs.append(why)
        return after

    def plan(self, pid: int) -> Step | None:
        """The next step of a payment."""
        try:
            return self._planned[pid]
        except KeyError:
            step = self._planned[pid] = plan(self.payments[pid], self.policy, NOW_MS)
            if step is not None and step.at_ms > NOW_MS + WAIT_MAX_MS:
                self.wrongs.append(f"Nothing is done for {(step.at_ms - NOW_MS) // DAY} days, though it is not over")
            return step

    def later(self, pid: int, ms: int) -> int:
        """The payment when so much time has passed."""
        if ms <= 0:
            return pid
        after = self._later.get((pid, ms))
        if after is None:
            after = self._later[pid, ms] = self._number(_moved_back(self.payments[pid], ms))
        return after

    def _number(self, payment: Payment) -> int:
        payment = msgspec.structs.replace(payment, rev=1, version=0)
        number = self._numbers.setdefault(payment, len(self.payments))
        if number == len(self.payments):
            self.payments.append(payment)
        return number


def _moved_back(payment: Payment, ms: int) -> Payment:
    """All its times ``ms`` earlier, so that now is later; and what lies further back than any timetable reaches is
    drawn together, which no comparison with a timetable can tell."""
    after = {moment - ms for moment in moments(payment)}
    to, last, shift = {0: 0}, NOW_MS, 0
    for moment in sorted((m for m in after if m <= NOW_MS), reverse=True):
        shift += max(last - moment - FAR_MS, 0)
        to[moment + ms] = moment + shift
        last = moment
    to |= {moment + ms: moment for moment in after if moment > NOW_MS}
    attempts = tuple(_timed(attempt, to) for attempt in payment.attempts)
    refunds = tuple(_timed(refund, to) for refund in payment.refunds)
    return _timed(msgspec.structs.replace(payment, attempts=attempts, refunds=refunds), to)


def moments(payment: Payment) -> Iterator[int]:
    """All times that a payment holds, those that are \"never\" left out."""
    for struct in (payment, *payment.attempts, *payment.refunds):
        for name in MS[type(struct)]:
            if moment := getattr(struct, name):
                yield moment


def _timed(struct: T, to: dict[int, int]) -> T:
    times = {name: to[was] for name in MS[type(struct)] if (was := getattr(struct, name))}
    return msgspec.structs.replace(struct, **times)
