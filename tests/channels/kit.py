"""What the tests of every channel share: evidence in one word, small changes to bytes, anything that JSON can hold."""

from __future__ import annotations

import random
from typing import Any, Final

from hypothesis import strategies as st

from oncepay.domain.attempt import Fact, Reason
from oncepay.domain.change import Evidence

REFUSED, ABSENT, ASK = "refused", "absent", "ask"
ACCOUNT_, BALANCE, MOMENT = "account", "balance", "moment"


def said(found: Evidence) -> str:
    """The evidence in one word."""
    if found.fact is Fact.OVER:
        return REFUSED if found.reason is Reason.REFUSED else "over"
    if found.fact is Fact.SILENT:
        return found.fault.value or ASK
    return found.fact.value


def changed(raw: bytes, rng: random.Random) -> bytes:
    """One to three small changes: a byte replaced, a bit turned, one dropped, one put in, two swapped, the rest cut."""
    data = bytearray(raw)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(len(data)) if data else 0
        kind = rng.randrange(6)
        if kind == 0 and data:
            data[at] = rng.randrange(256)
        elif kind == 1 and data:
            data[at] ^= 1 << rng.randrange(8)
        elif kind == 2 and data:
            del data[at]
        elif kind == 3:
            data.insert(at, rng.randrange(256))
        elif kind == 4 and at:
            data[at - 1], data[at] = data[at], data[at - 1]
        elif kind == 5:
            del data[at:]
    return bytes(data)


ANYTHING: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
