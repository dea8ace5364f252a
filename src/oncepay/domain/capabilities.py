"""What a channel can do, as data: the engine reads this and knows no channel by name."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

S = 1_000
MIN = 60 * S
H = 60 * MIN
DAY = 24 * H

# Offsets of queries from an attempt's start, up to its expiry. 10/20/30 s, then roughly doubling to half an hour; after
# that three looks at growing distance, so that a payment that is never paid costs at most 16 calls whatever its
# deadline: one prepay, twelve of these, and at the end query, close, query once more.
QUERY_AT_MS = (
    10 * S, 20 * S, 30 * S, 1 * MIN, 2 * MIN, 4 * MIN, 8 * MIN, 15 * MIN, 30 * MIN,
    150 * MIN, 750 * MIN, 3750 * MIN,
)  # fmt: skip
# Offsets of looks at an attempt that is over: its money may have moved before.
AGAIN_AT_MS = (1 * MIN, 10 * MIN, 60 * MIN, 6 * H, 24 * H)
# Offsets of queries of a refund whose outcome is open.
REFUND_QUERY_AT_MS = (
    2 * S, 10 * S, 30 * S, 1 * MIN, 2 * MIN, 3 * MIN, 5 * MIN, 10 * MIN, 20 * MIN, 30 * MIN, 1 * H, 2 * H, 4 * H,
    8 * H, 16 * H, *(n * DAY for n in range(1, 31)),
)  # fmt: skip


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """One way to pay. ``credential``: the kind of thing the payer gets (qr, invoke, url, form ...)."""

    credential: str
    credential_life_ms: int = 2 * H
    made_by_call: bool = True  # False: made without asking the channel, so shown is as good as sent
    renewable: bool = True  # False: the same call again brings no credential, only that the number is known


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """All durations in milliseconds."""

    methods: Mapping[str, Method]
    currencies: frozenset[str]
    closes: bool = True  # there is a call that closes an attempt
    close_final: bool = True  # and its acknowledgement settles it
    cancels: bool = False  # there is a call that closes what is unpaid and sends back what is paid
    query_at_ms: tuple[int, ...] = QUERY_AT_MS
    again_at_ms: tuple[int, ...] = AGAIN_AT_MS
    again_closed_at_ms: tuple[int, ...] = (1 * MIN,)  # after an acknowledged close
    absent_margin_ms: int = 5 * MIN  # past an attempt's expiry, before "no such number" means anything
    absent_apart_ms: int = 2 * MIN  # between the two times that it must be said
    expiry_min_ms: int = 1 * MIN
    expiry_max_ms: int = 7 * DAY
    refund_query_at_ms: tuple[int, ...] = REFUND_QUERY_AT_MS
    refund_spacing_ms: int = 1 * MIN  # between two refunds of one attempt
    refund_count: int = 50  # of one attempt, surplus included
    refund_window_ms: int = 365 * DAY
    # After a refund's repeated call was refused, before "no such refund" means that the first one came to nothing too;
    # 0: it never means that.
    refund_absent_margin_ms: int = 0
    refund_retry_at_ms: tuple[int, ...] = (1 * H, 6 * H, 24 * H)  # a new number after the last was over
    call_deadline_ms: int = 8 * S
    calls_per_s: float = 0.0  # that the vendor takes for one account, all calls together; 0: it names no number

    def by_call(self, method: str) -> bool:
        """Whether a call makes the method's credential. (A method that is no longer known was one, to be safe.)"""
        known = self.methods.get(method)
        return known is None or known.made_by_call

    def renews(self, method: str) -> bool:
        """Whether the same call again brings the credential again."""
        known = self.methods.get(method)
        return known is None or known.renewable


Policy = Mapping[str, Capabilities]  # by channel
