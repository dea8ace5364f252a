"""What people are told about cases: every kind says what happens by itself, and what money is at risk."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import oncepay
from oncepay.domain.change import Verb
from oncepay.engine.cases import BY_ITSELF, at_risk
from oncepay.engine.story import DONE
from oncepay.ports import CaseRow
from tests.unit.domain_kit import NO, Story

SRC = Path(oncepay.__file__).parent
CONCEPTS = SRC.parents[1] / "docs" / "concepts.md"


def test_every_kind_that_is_raised_says_what_happens_by_itself_and_is_explained() -> None:
    rooms = ("domain", "engine", "channels")
    text = "".join(path.read_text() for room in rooms for path in (SRC / room).rglob("*.py"))
    raised = set(re.findall(r"(?:raise_case\(\s*|kind=|attention=)\"(\w+)\"", text))
    raised |= {"unsettled", "refund_unsettled", "account_account", "account_balance", "debited_late"}
    assert raised == set(BY_ITSELF)
    section = CONCEPTS.read_text().partition("## Cases")[2].partition("### ")[0]
    assert set(re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)) == set(BY_ITSELF)


def test_every_verb_has_its_word_in_the_story() -> None:
    assert set(DONE) == set(Verb)


def case(**data: Any) -> CaseRow:
    return CaseRow(
        id="C", kind="k", status="open", text="", payment_id="", account="", app="", opened_ms=0, due_ms=0, seen=1,
        note="", data=data,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("data", "money"),
    [
        ({"minor": 7, "currency": "USD", "number": NO}, (7, "USD")),  # as the case says
        ({"minor": 7, "number": NO}, (7, "CNY")),
        ({"refund_no": "r1"}, (60, "CNY")),
        ({"refund_no": "r1", "number": NO}, (60, "CNY")),
        ({"number": NO}, (100, "CNY")),
        ({"number": "0" * 28, "minor": None, "currency": None}, (100, "CNY")),
        ({}, (100, "CNY")),
    ],
)
def test_the_money_at_risk(data: dict[str, Any], money: tuple[int, str]) -> None:
    story = Story().paid()
    story.refund("r1", 60)
    assert at_risk(case(**data), story.payment) == money


def test_without_a_payment_it_is_what_the_message_said_or_nothing() -> None:
    assert at_risk(case(number="n", evidence=[{"minor": 5, "currency": "CNY"}]), None) == (5, "CNY")
    assert at_risk(case(number="n", evidence=[]), None) == (None, "")
    assert at_risk(case(), None) == (None, "")
