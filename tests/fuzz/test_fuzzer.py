"""The fuzzer finds what is planted, only by being guided, the same each time; and tells what takes too much."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import Final

import pytest

from tests.fuzz import fuzzer, toy
from tests.fuzz.fuzzer import Target, TooMuch, check_memory, fuzz, run_once

RUNS: Final = 100_000
HERE: Final = (sys.modules[__name__],)


def target(
    run: object, *, seeds: tuple[bytes, ...] = (b"hello world",), modules: tuple[ModuleType, ...] = HERE
) -> Target:
    return Target(name="toy", run=run, modules=modules, seeds=seeds)  # type: ignore[arg-type]


TOY: Final = target(toy.read, modules=(toy,))


@pytest.mark.parametrize("seed", range(2))
def test_a_planted_crash_is_found_by_guidance_and_not_by_luck(seed: int) -> None:
    guided = fuzz(TOY, seed=seed, runs=RUNS, failures_max=1)
    assert [failure.what for failure in guided.failures.values()] == ["planted"]
    (failure,) = guided.failures.values()
    with pytest.raises(toy.Planted):
        run_once(TOY, failure.data)
    blind = fuzz(TOY, seed=seed, runs=guided.runs, guided=False)
    assert (blind.runs, blind.failures) == (guided.runs, {})
    assert blind.covered < guided.covered


def test_the_same_seed_makes_the_same_runs() -> None:
    first, second = (fuzz(TOY, seed=7, runs=2_000) for _ in range(2))
    assert (first.corpus, first.failures, first.covered) == (second.corpus, second.failures, second.covered)
    assert fuzz(TOY, seed=8, runs=2_000).corpus != first.corpus


def every_pair(data: bytes) -> int:
    count = 0
    for one in data:
        for other in data:
            count += one == other
    return count


def test_too_many_steps_are_told() -> None:
    run_once(target(every_pair), bytes(100))
    with pytest.raises(TooMuch, match="steps for 2000 bytes"):
        run_once(target(every_pair), bytes(2000))


def test_what_takes_long_where_no_step_is_seen_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzzer, "CPU_S", 0.02)
    run_once(target(lambda data: re.fullmatch(b"(a|a)*b", data)), b"a" * 10)
    with pytest.raises(TooMuch, match="s for 22 bytes"):
        run_once(target(lambda data: re.fullmatch(b"(a|a)*b", data)), b"a" * 22)


def test_too_much_memory_is_told() -> None:
    check_memory(target(lambda data: data * 100), bytes(50_000))
    with pytest.raises(TooMuch, match="bytes of memory"):
        check_memory(target(lambda data: data * 1000), bytes(50_000))


def test_of_two_messages_that_fail_alike_the_shorter_is_kept() -> None:
    def run(data: bytes) -> None:
        if b"l" in data:
            raise ValueError(len(data))

    report = fuzz(target(run, seeds=(b"hello l", b"l", b"hell", b"")), runs=4)
    ((where, failure),) = report.failures.items()
    assert where.startswith("ValueError at test_fuzzer.py:")
    assert (failure.data, failure.what) == (b"l", "1")
