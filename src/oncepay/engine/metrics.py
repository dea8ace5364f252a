"""What is counted, under the names that an operator's dashboards know."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import Counter, Gauge, Histogram

EVIDENCE = Counter("oncepay_evidence", "Evidence taken in; fact 'repeat' was known before.", ("road", "fact"))
CALLS = Counter("oncepay_calls", "Calls to channels, by how they ended.", ("channel", "call", "outcome"))
NOTIFICATIONS = Counter("oncepay_notifications", "Notifications from channels.", ("channel", "outcome"))
DELIVERIES = Counter("oncepay_deliveries", "Tries to tell an app.", ("outcome",))
GUARD_LOST = Counter("oncepay_guard_lost", "Changes that lost the guard and were decided again.")
POISONED = Counter("oncepay_poisoned", "Messages and payments that made the core raise.")
WORK = Histogram("oncepay_step_seconds", "Time of one step with its call and commits.")
STORE = Gauge("oncepay_store", "What waits in the store.", ("what",))


@lru_cache(maxsize=1024)
def labelled(counter: Counter, *labels: str) -> Counter:
    """The counter of these labels, found once: looking it up each time costs more than counting."""
    return counter.labels(*labels)
