"""Learning is a join: the table drawn by hand and the idea behind it check each other."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oncepay.domain.attempt import CONTRADICTIONS, RANK, TRANSITIONS, Fact, Status, learn

# the least that each fact tells us
SAYS = {
    Fact.ABSENT: Status.CREATED,
    Fact.SILENT: Status.UNKNOWN,
    Fact.PENDING: Status.SENT,
    Fact.OVER: Status.OVER,
    Fact.MOVED: Status.SUCCEEDED,
}
CELLS = list(product(Status, Fact))


def test_the_table_is_total() -> None:
    assert set(TRANSITIONS) == set(Status)
    assert all(set(row) == set(Fact) for row in TRANSITIONS.values())
    assert set(SAYS) == set(Fact)


def test_statuses_are_written_in_the_order_of_what_we_know() -> None:
    assert [status.value for status in RANK] == ["created", "unknown", "sent", "over", "succeeded"]


@pytest.mark.parametrize(("status", "fact"), CELLS)
def test_learning_is_a_join(status: Status, fact: Fact) -> None:
    learned = learn(status, fact)
    assert learned.status is max(status, SAYS[fact], key=RANK.index)
    assert learned.news == (learned.status is not status)


@pytest.mark.parametrize(("status", "fact"), CELLS)
def test_only_over_after_success_is_a_contradiction(status: Status, fact: Fact) -> None:
    contradicts = (status, fact) == (Status.SUCCEEDED, Fact.OVER)
    assert ((status, fact) in CONTRADICTIONS) == contradicts == learn(status, fact).contradiction


@given(st.lists(st.sampled_from(Fact)), st.randoms(use_true_random=False))
def test_order_and_repetition_do_not_matter(facts: list[Fact], rng: object) -> None:
    def end(told: list[Fact]) -> Status:
        status = Status.CREATED
        for fact in told:
            status = learn(status, fact).status
        return status

    shuffled = [*facts, *facts[:3]]
    rng.shuffle(shuffled)  # type: ignore[attr-defined]
    assert end(shuffled) is end(facts)
