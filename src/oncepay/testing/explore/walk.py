"""The walk over all states, shortest stories first, and whether from each of them the world can still end right."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Iterator
from itertools import pairwise

import msgspec

from oncepay.domain.attempt import Call
from oncepay.domain.capabilities import MIN
from oncepay.domain.payment import Payment
from oncepay.testing.explore.core import REFUSED, Core
from oncepay.testing.explore.judge import CALLS_MAX, ended, wrong
from oncepay.testing.explore.moves import Forgotten, Moves, start
from oncepay.testing.explore.story import Line, line, told
from oncepay.testing.explore.world import NOW_MS, OWED, Books, Flight, Rest, Small

BITS = 24  # a state is one number: the payment's above, the rest's in these bits
MASK = (1 << BITS) - 1
NOWHERE = 0xFFFF_FFFF
CALM_MAX = 60  # moves of a story that goes on and on
FORGOTTEN = "The centre has forgotten a number that it called the channel for"


class Failure(Exception):
    """A promise that does not hold, with the shortest story that breaks it."""

    def __init__(self, why: str, story: list[str], then: list[str] | None = None) -> None:
        lines = [f"{why}.", *(f"  {n}. {line}" for n, line in enumerate(story, 1))]
        if then:
            lines += ["  And if nothing more goes wrong:", *(f"     {line}" for line in then)]
        super().__init__("\n".join(lines))
        self.why = why


class Found(msgspec.Struct, frozen=True):
    """What a walk saw. ``calls``: the most calls that any state needs to its end when nothing more goes wrong.
    ``payments``: how many different payments the states are made of."""

    states: int
    transitions: int
    depth: int
    ends: int
    calls: int
    payments: int
    seconds: float


def explore(small: Small) -> Found:
    """Walk every state. Raises Failure with the shortest story when a promise is broken in one, or when one can never
    end right, or does not by itself."""
    started = time.perf_counter()
    collects = gc.isenabled()
    gc.disable()  # nothing that a walk keeps ever goes, and looking through it again and again takes half of the time
    try:
        walk = Walk(small)
        walk.run()
        walk.check_ends()
        return Found(
            states=len(walk.keys),
            transitions=len(walk.edges),
            depth=walk.depth,
            ends=walk.ends.count(1),
            calls=walk.check_calm(),
            payments=len(walk.core.payments),
            seconds=round(time.perf_counter() - started, 1),
        )
    finally:
        if collects:
            gc.enable()


class Walk:
    """All that is known of one world's states, by index in the order in which they were found: breadth first, so the
    way that led to a state is a shortest one."""

    def __init__(self, small: Small) -> None:
        self.small = small
        self.core = Core(small)
        self.moves = Moves(small, self.core)
        self.rests: list[Rest] = []
        self.rest_numbers: dict[Rest, int] = {}
        self.keys = array("Q")
        self.found: dict[int, int] = {}
        self.came = array("I")
        self.calm = array("I")  # where it goes by itself, when nothing more goes wrong
        self.edges = array("I")  # of all states, one after another
        self.edges_end = array("I")
        self.ends = bytearray()
        self.depth = 0
        self._judged: dict[tuple[int, Books], str] = {}

    def run(self) -> None:
        """Find all states."""
        self._state(*begin(self.small, self.core), NOWHERE)
        index, level_end = 0, 1
        while index < len(self.keys):
            if index == level_end:
                self.depth, level_end = self.depth + 1, len(self.keys)
            self._visit(index)
            index += 1
            if index > self.small.states_max:
                raise Failure(f"There are more than {self.small.states_max} states", [])

    def _visit(self, index: int) -> None:
        pid, rest = self.at(index)
        payment, wrongs = self.core.payments[pid], self.core.wrongs
        why = self._judged.get((pid, rest.books))
        if why is None:
            why = wrong(payment, rest.books, self.core.policy, self.small.unclosable)
            self._judged[pid, rest.books] = why
        if why:
            raise Failure(why, self.story(index))
        self.ends.append(ended(payment, rest))
        calm = NOWHERE
        try:
            for _, _, after, left, free in self.moves.all(pid, rest):
                to = self._state(after, left, index)
                self.edges.append(to)
                if free and calm == NOWHERE:
                    calm = to
                if wrongs:  # of whatever payment: before a move, time may have passed for it
                    raise Failure(wrongs[0], [*self.story(index), *told(self._lines([index, to]))])
            if wrongs:  # of a move that led nowhere
                raise Failure(wrongs[0], self.story(index))
        except Forgotten:
            raise Failure(FORGOTTEN, self.story(index)) from None
        self.calm.append(calm)
        self.edges_end.append(len(self.edges))

    def _state(self, pid: int, rest: Rest, came: int) -> int:
        number = self.rest_numbers.get(rest)
        if number is None:
            number = self.rest_numbers[rest] = len(self.rests)
            self.rests.append(rest)
        key = pid << BITS | number
        index = self.found.get(key)
        if index is None:
            index = self.found[key] = len(self.keys)
            self.keys.append(key)
            self.came.append(came)
        return index

    def at(self, index: int) -> tuple[int, Rest]:
        """The state of that index."""
        key = self.keys[index]
        return key >> BITS, self.rests[key & MASK]

    # -- whether it can end ------------------------------------------------------------------------------------

    def check_ends(self) -> None:
        """From every state a right end can be reached: by going back from the ends, until nothing new is found."""
        can, more = bytearray(self.ends), 1
        while more:
            more = 0
            for index in range(len(can) - 1, -1, -1):
                if can[index]:
                    continue
                first = self.edges_end[index - 1] if index else 0
                if any(can[to] for to in self.edges[first : self.edges_end[index]]):
                    can[index] = more = 1
        stuck = can.find(0)
        if stuck >= 0:
            why = f"{can.count(0)} of {len(can)} states can never end right; the first of them"
            raise Failure(why, self.story(stuck), self.calm_story(stuck))

    def check_calm(self) -> int:
        """From every state the world ends right by itself, when nothing more goes wrong; the most calls on the way."""
        calls = array("i", [-1]) * len(self.keys)
        for index in range(len(calls)):
            way, at = [], index
            while at != NOWHERE and calls[at] == -1 and not self.ends[at]:
                calls[at] = -2
                way.append(at)
                at = self.calm[at]
            if at == NOWHERE or (calls[at] == -2 and not self.ends[at]):
                raise Failure("This does not end right by itself", self.story(index), self.calm_story(index))
            left = max(calls[at], 0)
            calls[at] = left
            for before in reversed(way):
                left = calls[before] = left + self._is_call(before, at)
                at = before
            if left > CALLS_MAX:
                raise Failure(f"The channel is called {left} times more", self.story(index), self.calm_story(index))
        return max(calls)

    def _is_call(self, index: int, to: int) -> bool:
        before, after = self.at(index)[1].flights, self.at(to)[1].flights
        return len(after) > len(before)

    # -- the story ---------------------------------------------------------------------------------------------

    def story(self, index: int) -> list[str]:
        """How the world came into a state, each line with what is new by it."""
        path = [index]
        while self.came[path[-1]] != NOWHERE:
            path.append(self.came[path[-1]])
        return [_FIRST[self.small.ways[0]], *told(self._lines(path[::-1]))]

    def calm_story(self, index: int) -> list[str]:
        """How it goes on from there by itself, until it repeats or stands still."""
        path, seen = [index], {index}
        while len(path) < CALM_MAX and (to := self.calm[path[-1]]) != NOWHERE and to not in seen:
            path.append(to)
            seen.add(to)
        closing = "nothing more happens" if self.calm[path[-1]] == NOWHERE else "and so on"
        return [*told(self._lines(path)), closing]

    def _lines(self, path: list[int]) -> Iterator[Line]:
        for index, to in pairwise(path):
            pid, rest = self.at(index)
            after, left = self.at(to)
            moves = self.moves.all(pid, rest)
            words, number = next((w, n) for w, n, p, r, _ in moves if p == after and r == left)
            payments = self.core.payments
            yield line(words, number, (payments[pid], rest.books), (payments[after], left.books))


_FIRST = {
    "call": "A shop asks for 100. The centre commits to calling the channel for a code.",
    "soft": "A shop asks for 100. The centre commits to calling the channel for a code.",
    "anew": "A shop asks for 100. The centre commits to calling the channel for a code, of which the last is good.",
    "once": "A shop asks for 100. The centre commits to calling the channel for a code that is told only once.",
    "page": "A shop asks for 100, to be paid by a page of which the channel knows only once somebody opens it.",
    "form": "A shop asks for 100, to be paid by a form of a channel that cannot close it.",
}


def begin(small: Small, core: Core) -> tuple[int, Rest]:
    """A payment whose first attempt is committed; when that takes a call, it is on its way."""
    payment = Payment(
        id="P" * 26,
        app="shop",
        order_no="1",
        minor=OWED,
        currency="CNY",
        subject="",
        created_ms=NOW_MS,
        deadline_ms=NOW_MS + 10 * MIN,
        late=small.late,
        unclosable=small.unclosable,
    )
    pid = core.create(payment, start(small, 0))
    first = core.payments[pid].attempts[0]
    flights = (Flight(Call.PREPAY, first.no, call_no=first.calls),) if first.calls else ()
    assert pid != REFUSED
    return pid, Rest(may=tuple(sorted(small.may)), flights=flights)
