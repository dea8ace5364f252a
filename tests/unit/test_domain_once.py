"""A member that stands twice is found however it is written."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.domain.once import StandsTwice, check_once

TWICE = [
    b'{"a":1,"a":2}',
    b'{"a":1,"a" :2}',
    b'{"a" :1,"a"\n:2}',
    b'{"x":{"b":1,"b":[]}}',
    b'[{"a":1,"a":"\\":"}]',
    b'{"a":"\\":","a":1}',
    b'{"\\u0061":1,"a":2}',
]
ONCE = [b'{"a":1,"b":{"a":2}}', b'{"a":"\\":\\":"}', b'{"t":"16:05:00+08:00"}', b"[]", b"1", b'{"a" : 1}']


@pytest.mark.parametrize("raw", TWICE)
def test_a_member_that_stands_twice_is_refused(raw: bytes) -> None:
    with pytest.raises(StandsTwice):
        check_once(raw, msgspec.json.decode(raw))


@pytest.mark.parametrize("raw", ONCE)
def test_what_stands_once_passes(raw: bytes) -> None:
    check_once(raw, msgspec.json.decode(raw))


@given(
    st.recursive(
        st.text(max_size=4) | st.integers(-9, 9),
        lambda inner: st.lists(st.tuples(st.sampled_from(["a", 'b":', "c"]), inner), max_size=4),
        max_leaves=12,
    ),
    st.sampled_from([":", " :", ": "]),
)
def test_counting_agrees_with_reading(tree: object, colon: str) -> None:
    twice = False

    def write(value: object) -> str:
        nonlocal twice
        if not isinstance(value, list):
            return json.dumps(value)
        names = [name for name, _ in value]
        twice |= len(set(names)) != len(names)
        return "{" + ",".join(json.dumps(name) + colon + write(inner) for name, inner in value) + "}"

    raw = write(tree).encode()
    try:
        check_once(raw, msgspec.json.decode(raw))
        found = False
    except StandsTwice:
        found = True
    assert found == twice
