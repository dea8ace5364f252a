"""What the tests of every channel share: evidence in one word, anything that JSON can hold."""

from __future__ import annotations

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


ANYTHING: Final[st.SearchStrategy[Any]] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=4),
    max_leaves=10,
)
