"""What the guards decide without a database: what is the same, what there is to do, when to ask, what an answer means."""

from __future__ import annotations

import doctest
from decimal import Decimal
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.client import Payment
from oncepay.client.guards import Unordered, dialects, timetable
from oncepay.client.guards import fingerprint as fingerprint_of
from oncepay.client.guards.aside import error_text
from oncepay.client.guards.milestones import WORDS, milestones, settled, unmet
from oncepay.client.guards.timetable import TIMETABLE_S, Verdict, Watched, judge, next_ms
from oncepay.client.guards.transactions import passes
from tests.client.guards.payments import NOW_MS, Story, payment

DAY_MS = 86_400_000


def test_the_examples_in_the_docstrings_hold() -> None:
    import importlib

    modules: list[ModuleType] = [timetable, importlib.import_module("oncepay.client.guards.fingerprint")]
    for module in modules:
        result = doctest.testmod(module)
        assert (result.attempted > 0, result.failed) == (True, 0)


# -- what is the same --------------------------------------------------------------------------------------------

leaves = st.none() | st.booleans() | st.integers() | st.text() | st.decimals(allow_nan=False, allow_infinity=False)
values = st.recursive(leaves, lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner), max_leaves=6)
fields = st.dictionaries(st.text(), values)


@given(fields, st.randoms())
def test_the_order_of_fields_does_not_matter(given_fields: dict[str, Any], random: Any) -> None:
    names = list(given_fields)
    random.shuffle(names)
    assert fingerprint_of({name: given_fields[name] for name in names}) == fingerprint_of(given_fields)


@given(st.lists(values, max_size=6), st.randoms())
def test_the_order_of_what_is_unordered_does_not_matter(lines: list[Any], random: Any) -> None:
    mixed = list(lines)
    random.shuffle(mixed)
    assert fingerprint_of({"lines": Unordered(lines)}) == fingerprint_of({"lines": Unordered(mixed)})


def _kind(value: Any) -> Any:
    """Equal exactly when two values mean the same: numbers by value, but never a truth or a text for a number."""
    if isinstance(value, bool) or value is None:
        return ("b", value)
    if isinstance(value, int | Decimal):
        return ("d", Decimal(value))
    if isinstance(value, list):
        return ("l", [_kind(one) for one in value])
    if isinstance(value, dict):
        return ("m", {name: _kind(one) for name, one in value.items()})
    return ("s", value)


@given(fields, fields)
def test_two_are_the_same_exactly_when_they_mean_the_same(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (fingerprint_of(one) == fingerprint_of(other)) is (_kind(one) == _kind(other))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": "bc"}, {"ab": "c"}),
        ({"a": ["b", "c"]}, {"a": ["bc"]}),
        ({"a": [["b"], "c"]}, {"a": [["b", "c"]]}),
        ({"a": ["b", "c"]}, {"a": ["c", "b"]}),
        ({"a": ["b"]}, {"a": Unordered(["b"])}),
        ({"a": Unordered(["b", "b"])}, {"a": Unordered(["b"])}),
        ({"a": 1}, {"a": "1"}),
        ({"a": 1}, {"a": True}),
        ({"a": None}, {}),
        ({"a": None}, {"a": ""}),
        ({"a": 10**40}, {"a": 10**40 + 1}),
        ({"a": Decimal("0.1")}, {"a": Decimal("0.10000000000000000000000000000000001")}),
        ({"a": "é"}, {"a": "e\u0301"}),
    ],
)
def test_what_is_told_apart(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert fingerprint_of(one) != fingerprint_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"a": 10}, {"a": Decimal("10.00")}),
        ({"a": Decimal("1E+2")}, {"a": 100}),
        ({"a": Decimal("-0.0")}, {"a": 0}),
        ({"a": {1, 2, 3}}, {"a": frozenset([3, 2, 1])}),
        ({"a": (1, 2)}, {"a": [1, 2]}),
    ],
)
def test_what_is_not(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert fingerprint_of(one) == fingerprint_of(other)


@pytest.mark.parametrize("wrong", [1.5, b"x", object(), Decimal("NaN"), Decimal("Infinity"), {1: "a"}, [{"a": 0.1}]])
def test_what_cannot_be_compared_is_refused(wrong: Any) -> None:
    with pytest.raises(TypeError):
        fingerprint_of({"a": wrong})


# -- what there is to do -----------------------------------------------------------------------------------------


def keys(of: Payment, done: str = "") -> list[str]:
    return [milestone.key for milestone in unmet(of, done)]


def test_a_snapshot_shows_every_milestone_so_far_in_the_order_of_the_story() -> None:
    story = Story()
    assert keys(story.last) == []
    assert keys(story.close()) == [f"closed/{NOW_MS}"]
    assert keys(story.reopen()) == []
    story.pay()
    story.refund("R-1", 1, "done")
    story.refund("R-2", 1, "failed")
    story.refund("R-3", 1)
    story.refund("surplus:01", 8800, "done", "surplus")
    story.refund("outside:9", 1, "done", "outside")
    shown = list(milestones(story.last))
    assert [milestone.word for milestone in shown] == [
        "paid",
        "refund.done",
        "refund.failed",
        "surplus.refunded",
        "refund.outside",
    ]
    assert [milestone.refund.refund_no for milestone in shown if milestone.refund] == [
        "R-1",
        "R-2",
        "surplus:01",
        "outside:9",
    ]
    assert {milestone.word for milestone in shown} | {"closed"} == set(WORDS)


def test_what_was_done_is_not_done_again() -> None:
    story = Story()
    story.pay()
    story.refund("R-1", 1, "done")
    assert keys(story.last, "paid") == ["refund.done/R-1"]
    assert keys(story.last, "refund.done/R-1 paid closed/7") == []
    assert keys(story.last, "refund.done/R-11 paid") == ["refund.done/R-1"]


def test_a_refund_that_had_failed_and_went_out_all_the_same_is_told_too() -> None:
    story = Story()
    story.pay()
    first = keys(story.refund("R-1", 1, "failed"))
    assert keys(story.refund("R-1", 1, "done"), " ".join(first)) == ["refund.done/R-1"]


def test_settled_is_when_nothing_is_on_its_way() -> None:
    story = Story()
    said = [settled(story.last)]
    story.pay()
    said += [settled(story.last), settled(story.refund("R-1", 1)), settled(story.refund("R-1", 1, "done"))]
    assert said == [False, True, False, True]
    assert settled(Story().close())


# -- when to ask, and what the answer means ----------------------------------------------------------------------


def test_the_timetable_only_grows() -> None:
    assert list(TIMETABLE_S) == sorted(set(TIMETABLE_S))


@given(st.integers(0, 60 * DAY_MS))
def test_the_next_time_is_later_and_on_the_timetable(passed_ms: int) -> None:
    due_ms = next_ms(NOW_MS, NOW_MS + passed_ms)
    assert due_ms > NOW_MS + passed_ms
    offset_s = (due_ms - NOW_MS) // 1000
    assert offset_s in TIMETABLE_S or offset_s % 86_400 == 0
    assert due_ms - (NOW_MS + passed_ms) <= DAY_MS


def test_who_never_hears_asks_seldom() -> None:
    now_ms, asked = 0, 0
    while now_ms < 7 * DAY_MS:
        now_ms, asked = next_ms(0, now_ms), asked + 1
    assert asked == 9 + 23 + 7


PAID, REFUNDING = Story(), Story()
PAID.pay()
REFUNDING.pay()
REFUNDING.refund("R-1", 1)


@pytest.mark.parametrize(
    ("told", "known", "waited_s", "verdict"),
    [
        (None, 0, 599, Verdict.WAIT),
        (None, 0, 600, Verdict.ABSENT),
        (payment(), 0, 10, Verdict.WAIT),
        (payment(), 0, 7 * 86_400, Verdict.WAIT),  # the centre will end it
        (PAID.last, 0, 10, Verdict.TAKE),
        (PAID.last, 1, 599, Verdict.WAIT),  # registered for a refund, which may be on its way to the centre
        (PAID.last, 1, 600, Verdict.DROP),  # and never got there
        (REFUNDING.last, 1, 10, Verdict.TAKE),
        (REFUNDING.last, 2, 86_400, Verdict.WAIT),
        (payment(), -1, 10, Verdict.WAIT),  # its news failed, and this is none
    ],
)
@pytest.mark.parametrize("above", [0, 1, 2])
def test_what_an_answer_means(told: Payment | None, above: int, known: int, waited_s: int, verdict: Verdict) -> None:
    """What was known when it was registered does not matter: whatever the inbox has not taken in is news to it."""
    order = Watched("A-1", above, NOW_MS, NOW_MS, known)
    assert judge(order, told, NOW_MS + waited_s * 1000, 600_000) is verdict


# -- errors ------------------------------------------------------------------------------------------------------


class Mute(Exception):
    """It cannot even say what is wrong."""

    def __str__(self) -> str:
        raise KeyError(self.args)


class Odd(Exception):
    """What it says is no text."""

    def __str__(self) -> str:
        return 7  # type: ignore[return-value]  # noqa: PLE0307


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (Mute("a"), "Mute: (it cannot say what)"),
        (Odd("a"), "Odd: (it cannot say what)"),
        (ValueError("tea \ud83e"), "ValueError: tea ?"),
        (ValueError("钱\0不见了 🫖"), "ValueError: 钱不见了 🫖"),
    ],
)
def test_whatever_an_error_is_there_are_words_for_it(error: Exception, text: str) -> None:
    assert error_text(error) == text


@pytest.mark.parametrize(
    ("error", "true"),
    [
        (ValueError({"amount": ["not a number"]}), False),
        (ValueError([1213]), False),
        (RuntimeError(1213, "deadlock"), True),
        (RuntimeError("1213"), False),
    ],
)
def test_an_error_of_any_kind_can_be_asked_whether_it_passes(error: Exception, true: bool) -> None:
    """Frameworks raise theirs with a mapping or a list in it."""
    assert passes(error) is true


def test_a_state_of_the_database_counts_before_a_number() -> None:
    error = RuntimeError(1213)
    for state, true in (("40001", True), ("40P01", True), ("23505", False), (["40001"], False)):
        error.sqlstate = state  # type: ignore[attr-defined]
        assert passes(error) is true


# -- the words of each database ----------------------------------------------------------------------------------


MARKS: dict[dialects.Style, str] = {"qmark": "?", "format": "%s", "named": ":", "dollar": "$"}


@pytest.mark.parametrize("dialect", ["postgresql", "sqlite", "mysql"])
def test_every_statement_can_be_said(dialect: dialects.Dialect) -> None:
    for name in dialects._statements():
        for style, mark in MARKS.items():
            sql, names = dialects.text_of(name, dialect, style)
            assert "{" not in sql
            assert names
            assert mark in sql
            assert "%" not in sql.replace("%s", "")
            if style in {"qmark", "format"}:
                assert sql.count(mark) == len(names)
            else:
                assert len(set(names)) == len(names)


def test_all_databases_have_the_same_tables() -> None:
    import re

    def shape(dialect: dialects.Dialect) -> dict[str, list[str]]:
        found = re.findall(r"CREATE TABLE IF NOT EXISTS (\w+) \((.*?)\n\)", dialects.tables(dialect), re.DOTALL)
        return {
            name: [line.split()[0] for line in body.strip().splitlines() if line.split()[0] not in {"KEY", "repeats"}]
            for name, body in found
        }

    assert shape("postgresql") == shape("sqlite") == shape("mysql")
    assert len(shape("sqlite")) == 5
    assert len(dialects.table_statements("postgresql")) == 8
