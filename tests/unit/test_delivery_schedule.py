"""The timetable of deliveries: what it promises, at every draw."""

from __future__ import annotations

import doctest
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from oncepay.publishers import schedule, webhook
from oncepay.publishers.schedule import GAPS_S, TRIES_MAX, next_try_ms

DAY_MS = 86_400_000


def test_the_examples_hold() -> None:
    for module in (schedule, webhook):
        result = doctest.testmod(module)
        assert result.attempted > 0
        assert result.failed == 0


def test_gaps_only_grow() -> None:
    assert all(earlier <= later for earlier, later in pairwise(GAPS_S))


@given(st.lists(st.floats(0, 1, exclude_max=True), min_size=TRIES_MAX, max_size=TRIES_MAX))
def test_twenty_tries_over_thirty_days_the_first_five_within_two_minutes(draws: list[float]) -> None:
    at_ms: list[int] = []
    due_ms: int | None = 0
    while due_ms is not None:
        at_ms.append(due_ms)
        due_ms = next_try_ms(len(at_ms), due_ms, draws[len(at_ms) - 1])
    assert len(at_ms) == 20
    assert at_ms[4] <= 120_000
    assert 30 * DAY_MS <= at_ms[-1] <= 33 * DAY_MS


@given(st.integers(1, 19), st.floats(0, 1, exclude_max=True), st.floats(0, 1e12))
def test_an_endpoint_may_ask_for_more_time_but_not_for_silence(tries: int, draw: float, ask_s: float) -> None:
    plain = next_try_ms(tries, 0, draw)
    asked = next_try_ms(tries, 0, draw, ask_s)
    assert plain is not None
    assert asked is not None
    assert plain <= asked <= max(plain, DAY_MS)
    assert asked >= min(ask_s * 1000, DAY_MS) - 1


def test_the_first_try_is_at_once() -> None:
    assert next_try_ms(0, 77, 0.9) == 77
