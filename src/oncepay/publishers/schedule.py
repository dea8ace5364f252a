"""When a delivery that failed is tried again: twenty tries over thirty days, then it is parked.

An app that restarts hears within seconds, one that was repaired after lunch within the hour, one that was down for
a holiday still hears. After that a person, or the pull road, is the better messenger.
"""

from __future__ import annotations

from itertools import pairwise
from typing import Final

_MINUTE_S, _HOUR_S, _DAY_S = 60, 3_600, 86_400

# When each try is due, in seconds after the first, if every try fails at once and no jitter is drawn.
TIMETABLE_S: Final = (
    0, 5, 15, 45, 90,
    5 * _MINUTE_S, 15 * _MINUTE_S, 30 * _MINUTE_S,
    1 * _HOUR_S, 2 * _HOUR_S, 4 * _HOUR_S, 8 * _HOUR_S, 16 * _HOUR_S, 32 * _HOUR_S, 60 * _HOUR_S, 108 * _HOUR_S,
    8 * _DAY_S, 13 * _DAY_S, 20 * _DAY_S, 30 * _DAY_S,
)  # fmt: skip
GAPS_S: Final = tuple(later - earlier for earlier, later in pairwise(TIMETABLE_S))
TRIES_MAX: Final = len(TIMETABLE_S)
JITTER: Final = 0.1  # a gap grows by up to a tenth, so that what failed together does not come back together
RETRY_AFTER_MAX_S: Final = _DAY_S  # an endpoint may ask for more time, not for silence


def next_try_ms(tries: int, now_ms: int, draw: float, retry_after_s: float | None = None) -> int | None:
    """When to try again, in milliseconds since 1970, or None when the delivery is to be parked.

    ``tries``: how many were made, the one that just failed included. ``draw``: a number in [0, 1) from the caller's
    dice; 0 gives the timetable itself. ``retry_after_s``: what the endpoint asked for; it can only delay.

    >>> [next_try_ms(tries, 0, 0.0) for tries in (1, 2, 3, 4, 5)]
    [5000, 10000, 30000, 45000, 210000]
    >>> next_try_ms(1, 0, 0.0, retry_after_s=30.0)
    30000
    >>> next_try_ms(1, 0, 0.0, retry_after_s=1e9) == 86_400_000
    True
    >>> next_try_ms(20, 0, 0.0) is None
    True

    Twenty tries over thirty days, the first five within two minutes even at the worst draw:

    >>> TRIES_MAX, sum(GAPS_S) / 86_400, sum(GAPS_S[:4]) * (1 + JITTER) < 120
    (20, 30.0, True)
    """
    if tries < 1:
        return now_ms
    if tries >= TRIES_MAX:
        return None
    wait_s = GAPS_S[tries - 1] * (1 + JITTER * draw)
    if retry_after_s is not None:
        wait_s = max(wait_s, min(retry_after_s, RETRY_AFTER_MAX_S))
    return now_ms + round(wait_s * 1000)
