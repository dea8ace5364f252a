"""Running worlds: one, many, again. What a failure prints, and how it is made smaller."""

from __future__ import annotations

import gc
import hashlib
import logging
import platform
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Final

import msgspec

from oncepay.testing.sim.ground import ground
from oncepay.testing.sim.options import Options, draw
from oncepay.testing.sim.payers import SCRIPTS
from oncepay.testing.sim.telling import PROMISES, clock, money, told
from oncepay.testing.sim.world import World

CHUNK: Final = 25
SHRINK_RUNS: Final = 120
PAYMENT: Final = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")

# What must have happened in 500 worlds, or they prove less than they seem to.
SOMETIMES: Final = (
    *(f"payer {script}" for script in dict.fromkeys(SCRIPTS)),
    "a payment ended paid", "a payment ended closed", "a payment was closed: asked", "a payment was closed: expired",
    "a notification was the first to tell of a payment", "a query was the first to tell of a payment",
    "a payment was paid and no notification ever came", "money after the deadline was accepted",
    "a person sent a refund elsewhere", "a vendor had a new certificate",
    "a process learned a new key of a vendor",
    "a success was acknowledged to its channel",
    "a message came to the broker twice", "a confirm did not come", "the broker was down",
    "a consumer died before it had taken a message in", "a consumer died before it had acknowledged",
    "a process died before the message", "a process died on the way of the message", "a process died after the message",
    "a refund of surplus: done", "a refund of app: done", "a refund of app: failed",
    "an event told: reopened", "an event told: closing", "an event told: surplus.refunded",
    "an event was delivered twice", "an event was overtaken by a newer one",
    "an answer was: not known yet", "the risk of a switch was named", "a payer came too late",
    "another amount for the same order was refused", "of two refunds at once the one too many was refused",
    "the shop refused a message of another day",
    "a process lost the guard", "no process was left", "the store did not answer",
    "a commit's outcome was not told, and it was there", "a commit's outcome was not told, and it was not there",
    "a process stood still between a refund's intent and its call",
    "a process was stopped past its leases", "a process was stopped for a moment",
    "a process died before commit", "a process died after commit", "a process died before claim_due",
    "a process died before the call GET", "a process died on the way GET", "a process died after the call GET",
    "a process died before the call POST", "a process died on the way POST", "a process died after the call POST",
    "a process died before the request POST", "a process died before the answer POST",
    "a process died before the webhook POST", "a process died on the way of the webhook",
    "a process died after the webhook", "a process died after mark_deliveries",
)  # fmt: skip


def goals() -> tuple[str, ...]:
    """All of them: somebody must have paid by each method of each channel, too."""
    return (*SOMETIMES, *(f"paid by {channel} {method}" for channel, method, _ in ground().ways))


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """What came of a world. ``complaints``: promise, text, seconds. ``digest``: of its trace. ``payments``: how many of
    the ``orders`` the centre took; the others met a wrong clock, or nobody who answered."""

    seed: int
    options: Options
    complaints: list[tuple[str, str, float]]
    digest: str
    hits: dict[str, int]
    struck: dict[str, int]
    points: int
    calls: int
    crashed_at: list[int]
    orders: int
    payments: int
    story: list[str]


def run(seed: int, options: Options | None = None) -> Outcome:
    """One world."""
    with quietly():
        world = World(seed, options or draw(seed))
        complaints = world.run()
    return outcome(world, complaints)


@contextmanager
def quietly() -> Iterator[None]:
    """Without the log of the centre: it would say what the faults are."""
    was = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(was)


def outcome(world: World, complaints: list[Any]) -> Outcome:
    """Of a world that was run."""
    return Outcome(
        seed=world.seed,
        options=world.options,
        complaints=[tuple(c) for c in complaints],
        digest=world.digest(),
        hits=dict(world.hits),
        struck=dict(world.struck),
        points=world.points,
        calls=world.calls,
        crashed_at=world.crashed_at,
        orders=len(world.shop.orders),
        payments=world.judges.payments,
        story=story(world, complaints) if complaints else [],
    )


def story(world: World, complaints: list[Any]) -> list[str]:
    """What has to do with what went wrong, for people: how it began, and how it ended."""
    words = [word.strip(":,.'\"") for c in complaints for word in c.text.split()]
    about = {found[0] for word in words if (found := PAYMENT.search(word))}
    about |= {word for word in words if word.startswith("order-")}
    orders = {payment.removeprefix("pay_"): order for order, payment in world.judges.orders().items()}
    about |= {order for id_, order in orders.items() if id_ in about}
    about |= {id_ for id_, order in orders.items() if order in about}
    loud = ("DIES", "is up", "is stopped", "is away", "answers again", "peace", "shuts", "opens")
    until_s = max(c.at_s for c in complaints)
    lines = [
        (at_s, who, what)
        for at_s, who, what in world.trace
        if at_s <= until_s and (not about or any(word in what for word in (*about, *loud)))
    ]
    first = next((n for n, line in enumerate(lines) if any(word in line[2] for word in about)), 0)
    return told(lines[first:], {id_: order for id_, order in orders.items() if id_ in about})


def run_many(seeds: Iterable[int], jobs: int = 1) -> Iterator[Outcome]:
    """Many worlds, in their order."""
    ground()
    if jobs == 1:
        yield from _chunk(list(seeds))
        return
    numbers = list(seeds)
    chunks = [numbers[at : at + CHUNK] for at in range(0, len(numbers), CHUNK)]
    with ProcessPoolExecutor(jobs, mp_context=get_context("fork"), initializer=freeze) as pool:
        for found in pool.map(_all, chunks):
            yield from found


def _all(seeds: list[int]) -> list[Outcome]:
    return list(_chunk(seeds))


def _chunk(seeds: list[int]) -> Iterator[Outcome]:
    with collected():
        for seed in seeds:
            yield run(seed)
            gc.collect()


@contextmanager
def collected() -> Iterator[None]:
    """While it lasts, garbage is collected only by ``gc.collect()``, to be called after each world: a world leaves a
    few thousand objects, and what is there now is not walked again. (After every twentieth world it took five times as
    long for each.)"""
    frozen = gc.get_freeze_count()
    if not frozen:
        freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        if not frozen:
            gc.unfreeze()


def freeze() -> None:
    """What is there now stays."""
    gc.collect()
    gc.freeze()


class Table:
    """What many worlds came to."""

    def __init__(self) -> None:
        self.worlds = self.orders = self.payments = self.points = self.calls = self.crashes = self.faults = 0
        self.hits: Counter[str] = Counter()
        self.struck: Counter[str] = Counter()
        self.failed: list[Outcome] = []

    def add(self, found: Outcome) -> None:
        """One more."""
        self.worlds += 1
        self.orders += found.orders
        self.payments += found.payments
        self.points += found.points
        self.calls += found.calls
        self.crashes += len(found.crashed_at)
        self.hits.update(found.hits)
        self.struck.update(found.struck)
        self.faults += sum(found.struck.values()) + len(found.crashed_at)
        if found.complaints:
            self.failed.append(found)

    def never(self) -> list[str]:
        """Goals that were not hit."""
        return [goal for goal in goals() if not self.hits[goal]]

    def lines(self, seconds: float, cpu_s: float) -> Iterator[str]:
        """For people. ``cpu_s``: of all processors, which others may use at the same time."""
        yield f"{self.worlds:10,}  worlds, {len(self.failed)} of them not as promised"
        each_s, each_cpu_s = self.orders / seconds, self.orders / cpu_s
        yield f"{self.orders:10,}  orders, {each_s:,.0f} a second, {each_cpu_s:,.0f} a second of a core"
        yield f"{self.payments:10,}  of them became payments"
        yield f"{self.calls:10,}  calls of channels"
        yield f"{self.points:10,}  points at which a process could die"
        yield f"{self.crashes:10,}  deaths"
        yield f"{self.faults:10,}  faults, deaths included"
        yield f"{len(goals()) - len(self.never()):10,}  of {len(goals())} things that must happen sometimes did"
        yield from (f"     NEVER  {goal}" for goal in self.never())


# -- a failure -------------------------------------------------------------------------------------------------------


def report(found: Outcome) -> Iterator[str]:
    """What a failure prints: all that is needed to see it again."""
    given = msgspec.json.encode(found.options).decode()
    yield f"seed {found.seed} is not as promised"
    for promise, text, at_s in found.complaints:
        yield f"  {PROMISES.get(promise, promise)} ({promise}), {clock(at_s)}: {money(text)}"
    yield f"  commit {commit()}, lock {lock_hash()}, Python {platform.python_version()}"
    yield f"  options {given}"
    yield "  the story:"
    yield from (f"    {line}" for line in found.story)
    same = found.options == draw(found.seed)
    yield f"  again: python -m oncepay.testing.sim --replay {found.seed}" + ("" if same else f" --options '{given}'")


def commit() -> str:
    """Of the sources, if they are a checkout."""
    here = Path(__file__).parent
    done = subprocess.run(
        ["git", "rev-parse", "--short=12", "HEAD"],  # noqa: S607 - whichever git there is
        cwd=here, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout.strip() or "unknown"


def lock_hash() -> str:
    """Of the locked requirements, if they are a checkout."""
    for folder in Path(__file__).parents:
        lock = folder / "requirements-dev.lock"
        if lock.is_file():
            return hashlib.blake2b(lock.read_bytes(), digest_size=6).hexdigest()
    return "unknown"


def shrink(found: Outcome, runs: int = SHRINK_RUNS) -> Outcome:
    """The same complaint in a smaller world: fewer orders, fewer kinds of faults, fewer deaths."""
    promises = {promise for promise, _, _ in found.complaints}
    smallest = found
    left = runs
    progress = True
    while progress:
        progress = False
        for options in _smaller(smallest):
            if not left:
                return smallest
            left -= 1
            tried = run(found.seed, options)
            if any(promise in promises for promise, _, _ in tried.complaints):
                smallest, progress = tried, True
                break
    return smallest


def _smaller(found: Outcome) -> Iterator[Options]:
    """Smaller worlds, the much smaller first."""
    given = found.options

    def but(**changed: Any) -> Options:
        return msgspec.structs.replace(given, **changed)

    half = len(given.orders) // 2
    if half:
        yield from (but(orders=given.orders[:half]), but(orders=given.orders[half:]))
        yield from (but(orders=tuple(o for o in given.orders if o != order)) for order in given.orders)
    if given.crash:
        yield but(crash=0.0)
        yield but(crash=0.0, crash_at=tuple(found.crashed_at))
    yield from (but(crash_at=tuple(n for n in given.crash_at if n != at)) for at in given.crash_at)
    for name, calm in (
        ("faults", {}), ("roads", {}), ("stop", 0.0), ("still", 0.0), ("unknown", 0.0), ("away", 0), ("skew_s", 0.0),
        ("shop", 0.0),
        ("shut", 0), ("rotations", 0), ("broken", 0), ("queue", False), ("patience_s", 0.0), ("processes", 1),
    ):  # fmt: skip
        if getattr(given, name) != calm:
            yield but(**{name: calm})
    for name in ("faults", "roads"):
        rates = getattr(given, name)
        if len(rates) > 1:
            yield from (but(**{name: {k: v for k, v in rates.items() if k != out}}) for out in rates)
