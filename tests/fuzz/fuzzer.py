"""A small coverage-guided fuzzer: it changes messages, and keeps those that reach a new step from line to line.

Nothing but ``sys.settrace``, and only for the modules under test. The same seed and number of runs give the same runs.
What a target must never do: raise (it catches what it may raise itself), take more steps than its input allows, take
long (in C too, where no step is seen: a regular expression), or take much memory.
"""

from __future__ import annotations

import random
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import CodeType, FrameType, ModuleType
from typing import Any, Final, NamedTuple

SIZE_MAX: Final = 16_384
STEPS: Final = 20_000
STEPS_EACH_BYTE: Final = 100
CPU_S: Final = 0.5  # of a machine that is not slow; a message takes a millisecond
MEMORY: Final = 2**20
MEMORY_EACH_BYTE: Final = 200
SHORTENING_TRIES: Final = 40
NEWEST: Final = 32  # what was found last is changed as often as all the rest

NUMBERS: Final = (
    b"0", b"-1", b"1", b"00", b"255", b"256", b"65535", b"65536", b"2147483648", b"4294967296", b"9007199254740992",
    b"9223372036854775807", b"9223372036854775808", b"18446744073709551616", b"1e400", b"-0", b"0.0", b"NaN",
    b"9" * 40, b"9" * 4301,
)  # fmt: skip
ODD: Final = (
    b"", b"\x00", b"\xff", b"\xed\xa0\x80", "é".encode(), "金".encode(), "\u202e".encode(), "²".encode(), b"%", b"%00", b"%0a",
    b"\\u0000", b"\\ud800", b"\\n", b"\r\n", b"\n", b"\n\n", b" ", b"\t", b'"', b"'", b"{", b"}", b"[", b"]", b"{}", b"[]",
    b":", b",", b"&", b"=", b"==", b"/", b"//", b"\\", b"@", b"?", b"#", b"+", b"-", b".", b"_", b";", b"null", b"true",
)  # fmt: skip
_PAIRS: Final = ((b"[", b"]"), (b"{", b"}"), (b'{"a":', b"}"), (b"(", b")"), (b'"', b'"'))


@dataclass(frozen=True, kw_only=True)
class Target:
    """One reader of what comes from outside. ``run``: gives it a message, and raises when that breaks a promise.
    ``modules``: whose lines count. ``seeds``: messages that are understood. ``tokens``: words of its language."""

    name: str
    run: Callable[[bytes], object]
    modules: tuple[ModuleType, ...]
    seeds: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()
    size_max: int = SIZE_MAX
    steps: int = STEPS
    steps_each_byte: int = STEPS_EACH_BYTE


class Failure(NamedTuple):
    """A message that breaks a promise. ``where``: two messages that break it there are one failure."""

    where: str
    what: str
    data: bytes


@dataclass(kw_only=True)
class Report:
    """What came of it. ``seeded``, ``covered``: steps from line to line, of the seeds and in the end."""

    target: str
    runs: int = 0
    seeded: int = 0
    covered: int = 0
    corpus: list[bytes] = field(default_factory=list)
    failures: dict[str, Failure] = field(default_factory=dict)
    spent_s: float = 0.0


class TooMuch(AssertionError):
    """More steps, time or memory than the size of the message allows."""


class Coverage:
    """Which line of the modules under test followed which, and how many lines were run."""

    def __init__(self, modules: tuple[ModuleType, ...]) -> None:
        self._files = {module.__file__ for module in modules}
        self._bases: dict[CodeType, int] = {}
        self._lines = 0
        self._last = 0
        self.steps = 0
        self.edges: set[int] = set()

    def _enter(self, frame: FrameType, _event: str, _arg: Any) -> Any:
        code = frame.f_code
        base = self._bases.get(code)
        if base is None:
            ours = code.co_filename in self._files
            base = self._bases[code] = self._lines if ours else -1
            if ours:
                self._lines += max((line or 0 for *_, line in code.co_lines()), default=0) - code.co_firstlineno + 2
        if base < 0:
            return None
        first, last, edges = code.co_firstlineno - base, 0, self.edges

        def step(frame: FrameType, event: str, _arg: Any) -> Any:
            nonlocal last
            if event == "line":
                self.steps += 1
                line = frame.f_lineno - first
                edges.add(last << 24 | line)
                last = line
            return step

        return step

    @contextmanager
    def watching(self) -> Iterator[set[int]]:
        """Count afresh, and gather the edges."""
        self.steps = 0
        self.edges = set()
        before = sys.gettrace()
        sys.settrace(self._enter)
        try:
            yield self.edges
        finally:
            sys.settrace(before)


def run_once(target: Target, data: bytes, coverage: Coverage | None = None) -> set[int]:
    """One message; the edges that it took. Raises what the target raises, and TooMuch."""
    coverage = coverage or Coverage(target.modules)
    began = time.thread_time()
    with coverage.watching() as edges:
        target.run(data)
    size = len(data)
    if coverage.steps > target.steps + target.steps_each_byte * size:
        raise TooMuch(f"{coverage.steps} steps for {size} bytes")
    if time.thread_time() - began > CPU_S:
        began = time.thread_time()  # again, without being watched
        target.run(data)
        if (spent := time.thread_time() - began) > CPU_S:
            raise TooMuch(f"{spent:.1f} s for {size} bytes")
    return edges


def check_memory(target: Target, data: bytes) -> None:
    """Raises TooMuch when reading a message takes much more memory than it has."""
    tracemalloc.start()
    try:
        target.run(data)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    if peak > MEMORY + MEMORY_EACH_BYTE * len(data):
        raise TooMuch(f"{peak} bytes of memory for {len(data)} bytes")


def fuzz(
    target: Target, *, seed: int = 0, runs: int = 0, seconds: float = 0.0, guided: bool = True, failures_max: int = 20
) -> Report:
    """Change messages until so many runs or seconds are over. ``guided``: False keeps nothing that was found."""
    dice = random.Random(f"{seed} {target.name}")
    coverage, report, covered = Coverage(target.modules), Report(target=target.name), set[int]()
    began = time.monotonic()
    waiting = list(target.seeds)
    while len(report.failures) < failures_max:
        spent_s = time.monotonic() - began
        if not waiting and ((runs and report.runs >= runs) or (seconds and spent_s > seconds)):
            break
        is_seed = bool(waiting)
        data = waiting.pop() if is_seed else change(_pick(report.corpus, dice), report.corpus, target, dice)
        report.runs += 1
        try:
            edges = run_once(target, data, coverage)
            fresh = edges - covered
            if fresh:
                check_memory(target, data)
                if guided and not is_seed:
                    data = _shortened(target, data, fresh, coverage)
                covered |= edges
        except Exception as error:  # noqa: BLE001 - that is what is looked for
            failure = _failure(error, data)
            known = report.failures.get(failure.where)
            if known is None or len(data) < len(known.data):
                report.failures[failure.where] = failure
            continue
        if is_seed or (fresh and guided):
            report.corpus.append(data)
        if is_seed:
            report.seeded = len(covered)
    report.covered = len(covered)
    report.spent_s = time.monotonic() - began
    return report


def _shortened(target: Target, data: bytes, fresh: set[int], coverage: Coverage) -> bytes:
    """What is not needed for its new edges is left out: in a long message few changes hit what matters."""
    tries = SHORTENING_TRIES
    size = len(data) // 2
    while size >= 4 and tries:
        at = 0
        while at < len(data) and tries:
            tries -= 1
            shorter = data[:at] + data[at + size :]
            if fresh <= run_once(target, shorter, coverage):
                data = shorter
            else:
                at += size
        size //= 2
    return data


def _failure(error: Exception, data: bytes) -> Failure:
    """Named by its kind and the last line of the way there, so that each is told once."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    place = f"{at.tb_frame.f_code.co_filename.rpartition('/')[2]}:{at.tb_lineno}" if at else "?"
    where = type(error).__name__ if isinstance(error, TooMuch) else f"{type(error).__name__} at {place}"
    return Failure(where, str(error)[:200], data)


# -- changing --------------------------------------------------------------------------------------------------------


def _pick(corpus: list[bytes], dice: random.Random) -> bytes:
    return dice.choice(corpus[-NEWEST:] if dice.random() < 0.5 else corpus) if corpus else b""


def change(data: bytes, corpus: list[bytes], target: Target, dice: random.Random) -> bytes:
    """One to eight changes, mostly few."""
    for _ in range(1 << dice.choice((0, 0, 1, 1, 2, 3))):
        data = dice.choice(_CHANGES)(data, corpus, target, dice)[: target.size_max]
    return data


def _place(data: bytes, dice: random.Random) -> tuple[int, int]:
    """A piece of it, mostly short."""
    start = dice.randint(0, len(data))
    return start, min(len(data), start + dice.choice((1, 1, 2, 4, 8, 32, 128, len(data))))


def _bit(data: bytes, _corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    at = dice.randrange(len(data)) if data else 0
    return data[:at] + bytes((data[at] ^ 1 << dice.randrange(8),)) + data[at + 1 :] if data else data


def _byte(data: bytes, _corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    at = dice.randint(0, len(data))
    return data[:at] + bytes((dice.randrange(256),)) + data[at + dice.randrange(2) :]


def _drop(data: bytes, _corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    start, end = _place(data, dice)
    return data[:start] + data[end:]


def _token(data: bytes, _corpus: list[bytes], target: Target, dice: random.Random) -> bytes:
    start, end = _place(data, dice)
    word = dice.choice(dice.choice((target.tokens or ODD, ODD, NUMBERS)))
    return data[:start] + word + data[dice.choice((start, end)) :]


def _number(data: bytes, _corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    """Another number where one stands."""
    starts = [at for at, byte in enumerate(data) if 48 <= byte < 58 and not (at and 48 <= data[at - 1] < 58)]
    if not starts:
        return data
    start = end = dice.choice(starts)
    while end < len(data) and 48 <= data[end] < 58:
        end += 1
    near = int(data[start:end][:18]) + dice.choice((-1, 1, 10))
    return data[:start] + dice.choice((dice.choice(NUMBERS), b"%d" % near)) + data[end:]


def _copy(data: bytes, _corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    """A piece once more, somewhere."""
    start, end = _place(data, dice)
    at = dice.randint(0, len(data))
    return data[:at] + data[start:end] + data[at:]


def _splice(data: bytes, corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    """A piece of another message."""
    other = _pick(corpus, dice)
    start, end = _place(other, dice)
    at, until = _place(data, dice)
    return data[:at] + other[start:end] + data[dice.choice((at, until)) :]


def _field(data: bytes, _corpus: list[bytes], _target: Target, dice: random.Random) -> bytes:
    """A field of a form, a member, a line: once more, elsewhere, or gone."""
    between = dice.choice((b",", b"&", b"\n", b"\r\n"))
    fields = data.split(between)
    one = fields[dice.randrange(len(fields))]
    if dice.random() < 0.7:
        fields.insert(dice.randint(0, len(fields)), one)
    if dice.random() < 0.5:
        fields.remove(one)
    return between.join(fields)


def _many(data: bytes, _corpus: list[bytes], target: Target, dice: random.Random) -> bytes:
    """A piece very often, or very deep: what grows faster than its input shows."""
    if dice.random() < 0.8:
        return data
    start, end = _place(data, dice)
    piece = data[start:end] or b"0"
    times = dice.choice((16, 256, max(1, (target.size_max - len(data)) // len(piece))))
    if dice.random() < 0.2:
        head, tail = dice.choice(_PAIRS)
        return data[:start] + head * times + data[start:end] + tail * times + data[end:]
    return data[:start] + piece * times + data[end:]


_CHANGES: Final = (_bit, _byte, _drop, _token, _token, _number, _copy, _splice, _field, _many)
