"""One call with all its tries: when it is made again, after how long, and what is said when there is no more time.

Every call that changes something has a natural key on the centre, or does no harm the second time; so a call whose
answer was lost is made again, and the answer to that is the answer. The few for which this is not so say ``once``.

A conversation is a generator: it asks its shell to send or to pause and is told what came of it. So it is the same for
threads and for asyncio, and a test needs neither.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final, NamedTuple, TypeVar

from oncepay.client.around import Around
from oncepay.client.calls import Answer, Call, after_s_of, problem_of, read, refused, strange, unknown
from oncepay.client.errors import ArgumentInvalid, CallFailed, NotSent

T = TypeVar("T")

PAUSE_S: Final = 0.2  # the first pause is up to this, each further one up to twice as long
PAUSE_MAX_S: Final = 5.0
TRY_MIN_S: Final = 0.05  # with less than this left, no further try is begun
PASSING: Final = frozenset({408, 429, 500, 502, 503, 504})  # what a proxy says of the moment


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long, in seconds. ``total_s``: for a call with all its tries and pauses; ``try_s``: for one of them;
    ``connect_s``: until there is a connection. A call that asks the centre to wait is given that much more. Raises
    ArgumentInvalid for what is no time."""

    total_s: float = 30.0
    try_s: float = 15.0
    connect_s: float = 5.0

    def __post_init__(self) -> None:
        if not all(0 < seconds < float("inf") for seconds in (self.total_s, self.try_s, self.connect_s)):
            raise ArgumentInvalid(f"a call needs a time in which it ends, in seconds above 0: {self}")

    def within(self, total_s: float) -> Limits:
        """The same, with calls that end within so many seconds."""
        return replace(self, total_s=total_s)


class Send(NamedTuple):
    """Send the call now, and be done within so many seconds."""

    seconds: float


class Pause(NamedTuple):
    """Do nothing for so many seconds."""

    seconds: float


class Lost(NamedTuple):
    """No answer. ``sent``: the centre may have been reached. ``why``: in a few words."""

    sent: bool
    why: str


class _Verdict(NamedTuple):
    """What an unhappy try means. ``doubt``: it may have been done all the same."""

    error: CallFailed
    again: bool
    doubt: bool
    after_s: float = 0.0


def converse(call: Call[T], limits: Limits, around: Around) -> Generator[Send | Pause, Answer | Lost | None, T]:
    """Make the call. Returns what it answers; raises CallFailed."""
    end = around.clock() + limits.total_s + call.wait_s
    doubt = False
    for tries in count(1):
        told = yield Send(max(min(limits.try_s + call.wait_s, end - around.clock()), TRY_MIN_S))
        assert told is not None, "a try ends in an answer or without one"
        if isinstance(told, Answer):
            if told.status < 300:
                return read(call, told, tries)
            if doubt and call.gone and (problem_of(told) or {}).get("code") == call.gone:
                return call.then(None)
        verdict = _judge(call, told, tries, doubt=doubt)
        doubt = doubt or verdict.doubt
        pause_s = verdict.after_s + around.draw() * min(PAUSE_S * 2 ** min(tries - 1, 10), PAUSE_MAX_S)
        if not verdict.again or (doubt and call.once) or around.clock() + pause_s + TRY_MIN_S > end:
            raise verdict.error
        yield Pause(pause_s)
    raise AssertionError("counting has no end")


def _judge(call: Call[Any], told: Answer | Lost, tries: int, *, doubt: bool) -> _Verdict:
    if isinstance(told, Lost):
        if told.sent or doubt:
            return _Verdict(unknown(call, told.why, tries), again=True, doubt=told.sent)
        error = NotSent(told.why, call=call.name, outcome="not_sent" if call.money else None, tries=tries)
        return _Verdict(error, again=True, doubt=False)
    problem = problem_of(told)
    after_s = after_s_of(told)
    if problem is None:
        passing = told.status in PASSING
        return _Verdict(strange(call, told, tries), again=passing, doubt=passing, after_s=after_s)
    refusal = refused(call, told, problem, tries, doubt=doubt)
    again = refusal.retry or told.status in PASSING
    return _Verdict(refusal, again=again, doubt=again and problem.get("outcome") != "not_sent", after_s=after_s)
