"""An account that its channel turns away: calls of the same use wait a little, ever longer, instead of being refused
one by one. In memory only: it spares calls, it decides nothing.

A use is one method of prepaying, or refunding: a merchant who may not use one product is not kept from the others, nor
are the other apps that share the account. (Options of one app for which the account lacks a right still pause the plain
calls of that method: an attempt does not say what options its first body was made with.) Questions never wait, so they
find out when it ends.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from oncepay.domain.attempt import Attempt, Call, Fact
from oncepay.domain.change import Evidence, Fault

REFUND: Final = "refund"
LENGTHS_MS: Final = {Fault.ACCOUNT: (5_000, 60_000), Fault.BALANCE: (60_000, 3_600_000)}  # first, longest


def use_of(what: str, method: str) -> str:
    """The use of an account that a call or a step (``what``) makes; "" for one that never waits."""
    return f"prepay {method}" if what == Call.PREPAY else REFUND if what == Call.REFUND else ""


class Pauses:
    """Which uses of which accounts wait until when, in one process."""

    def __init__(self) -> None:
        self._pauses: dict[tuple[str, str, Fault], tuple[int, int]] = {}  # -> until_ms, length_ms

    def __bool__(self) -> bool:
        return bool(self._pauses)

    def until_ms(self, account: str, use: str, now_ms: int) -> int:
        """Until when a use of an account waits; 0 if it does not. What lies further ahead than the longest pause was
        left by a clock that was set back."""
        known = ((self._pauses.get((account, use, fault), (0, 0))[0], most) for fault, (_, most) in LENGTHS_MS.items())
        return max((until_ms for until_ms, most in known if until_ms - now_ms <= most), default=0)

    def pause(self, account: str, use: str, fault: Fault, now_ms: int) -> None:
        """Twice as long as the last time."""
        first_ms, longest_ms = LENGTHS_MS[fault]
        _, length_ms = self._pauses.get((account, use, fault), (0, 0))
        length_ms = min(max(length_ms * 2, first_ms), longest_ms)
        self._pauses[account, use, fault] = (now_ms + length_ms, length_ms)

    def lift(self, account: str, faults: Iterable[Fault] = LENGTHS_MS) -> None:
        """Nothing waits any more for these faults of the account."""
        for key in [key for key in self._pauses if key[0] == account and key[2] in faults]:
            del self._pauses[key]

    def hear(self, attempt: Attempt, call: Call, evidence: Iterable[Evidence], now_ms: int) -> None:
        """What a call was answered. Any answer shows that the account is well; that there is balance, only one to a
        refund."""
        use, faults = use_of(call, attempt.method), {said.fault for said in evidence}
        for fault in faults & LENGTHS_MS.keys() if use else ():
            self.pause(attempt.account, use, fault, now_ms)
        if self._pauses and faults <= {Fault.NONE} and any(said.fact is not Fact.SILENT for said in evidence):
            self.lift(attempt.account, LENGTHS_MS if use == REFUND else {Fault.ACCOUNT})
