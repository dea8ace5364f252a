"""When an app asks for the outcome of an order by itself, and what it makes of the answer. Pure.

The gaps grow: most outcomes are there within a minute, and one that is not will not come in the next second. All times
are offsets from the moment the order was registered, so whoever slept for a day asks once, and not forty times.
"""

from __future__ import annotations

from bisect import bisect_right
from enum import Enum
from typing import Final, NamedTuple

from oncepay.client.guards.milestones import settled
from oncepay.client.shapes import Payment

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400

TIMETABLE_S: Final = (
    10, 20, 30,
    *(minutes * _MINUTE_S for minutes in (1, 2, 4, 8, 15, 30)),
    *(hours * _HOUR_S for hours in range(1, 24)),
)  # fmt: skip


def next_ms(since_ms: int, now_ms: int) -> int:
    """The first time in the timetable that is later than now: after a day, the same time of each day.

    >>> [next_ms(0, now_s * 1000) // 1000 for now_s in (0, 10, 29, 31, 1800, 82_800, 86_400, 90_000)]
    [10, 20, 30, 60, 3600, 86400, 172800, 172800]
    """
    passed_s = (now_ms - since_ms) // 1000
    if passed_s < TIMETABLE_S[-1]:
        offset_s = TIMETABLE_S[bisect_right(TIMETABLE_S, passed_s)]
    else:
        offset_s = (passed_s // _DAY_S + 1) * _DAY_S
    return since_ms + offset_s * 1000


class Watched(NamedTuple):
    """An order that is asked for. ``above``: the version of its payment, as far as it was known when it was registered:
    what is not newer is not the outcome. ``since_ms``: when that was. ``due_ms``: when to ask. ``known``: the version
    that the inbox has taken in by now."""

    order_no: str
    above: int
    since_ms: int
    due_ms: int
    known: int


class Verdict(Enum):
    """What to do about an answer."""

    TAKE = "take"  # there are news: into the inbox, which knows whether they are news to the app
    WAIT = "wait"  # ask again at the next time
    DROP = "drop"  # nothing came of what was registered, and nothing is on its way
    ABSENT = "absent"  # the centre has never heard of the order


def is_over(order: Watched, payment: Payment, now_ms: int, patience_ms: int) -> bool:
    """Whether no more may come of what was registered: nothing is on its way, and who was to call has had the time."""
    return settled(payment) and now_ms - order.since_ms >= patience_ms


def judge(order: Watched, payment: Payment | None, now_ms: int, patience_ms: int) -> Verdict:
    """What the centre's answer means. ``patience_ms``: how long a call that was to be made after the registration may
    take to reach the centre. Before that, what is not there may still come."""
    if payment is not None and payment.version > max(order.known, 0):
        return Verdict.TAKE
    if now_ms - order.since_ms < patience_ms:
        return Verdict.WAIT
    if payment is None:
        return Verdict.ABSENT
    return Verdict.DROP if settled(payment) else Verdict.WAIT
