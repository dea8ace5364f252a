"""A bounded exploration of the core: every order of steps, facts, payers, commands and crashes in one small world.

The world is one payment with two ways to pay, a refund, a channel that keeps books, and budgets for what may go wrong.
``decide`` and ``plan`` are the real ones. Time is a number that jumps to whatever is due next. Each state is judged by
the channel's books alone, and from each state the world must still be able to end right.

    python -m oncepay.testing.explore
"""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Final

import msgspec

from oncepay.domain import errors
from oncepay.domain.attempt import Call, Fact, Road
from oncepay.domain.capabilities import DAY, MIN, H
from oncepay.domain.change import AskRefund, Begin, Close, Credential, Evidence, Hear, Start, StepKind, Tick
from oncepay.domain.decide import create, decide
from oncepay.domain.payment import Late, Origin, Payment, PaymentStatus, RefundStatus, Unclosable
from oncepay.domain.plan import plan
from oncepay.testing.world import (
    CAPABILITIES,
    OWED,
    WAYS,
    Flight,
    World,
    moved,
    policy_of,
    put,
    replace,
    said,
    serve,
    state_of,
)

T0: Final = 1_800_000_000_000


class Budget(msgspec.Struct, frozen=True, kw_only=True):
    """What may go wrong in a world, and what its app may ask for."""

    faults: int = 1
    crashes: int = 1
    payers: int = 2
    late_payers: int = 0  # with a lost notification, only the daily statement would tell; so not together with faults
    wishes: tuple[str, ...] = ("b", "close", "refund")
    late: Late = "refund"
    unclosable: Unclosable = "switch"
    way: str = "call"
    states_max: int = 2_000_000


class Failure(Exception):
    """A promise that does not hold, with the shortest story that breaks it."""

    def __init__(self, why: str, story: list[str]) -> None:
        super().__init__("\n".join([why, *(f"  {n}. {line}" for n, line in enumerate(story, 1))]))


class Found(msgspec.Struct, frozen=True):
    """What an exploration saw."""

    states: int
    transitions: int
    depth: int
    ends: int
    seconds: float


def begin_with(budget: Budget) -> World:
    """A payment whose first attempt's intent is committed and whose call is on its way."""
    payment = Payment(
        id="P" * 26,
        app="shop",
        order_no="1",
        minor=OWED,
        currency="CNY",
        subject="",
        created_ms=T0,
        deadline_ms=T0 + 10 * MIN,
        late=budget.late,
        unclosable=budget.unclosable,
    )
    first = _start("a", T0)
    if not WAYS[budget.way].by_call("a"):
        first = msgspec.structs.replace(first, call_until_ms=0)
    change = create(payment, first, {"x": WAYS[budget.way], "y": CAPABILITIES}, T0)
    number = change.payment.attempts[0].no
    return World(
        payment=change.payment,
        now_ms=T0,
        flight=Flight(Call.PREPAY, number) if first.call_until_ms else None,
        faults=budget.faults,
        crashes=budget.crashes,
        payers=budget.payers,
        late_payers=budget.late_payers,
        wishes=budget.wishes,
        way=budget.way,
    )


def _start(method: str, now_ms: int, *, force: bool = False) -> Start:
    until_ms = now_ms + CAPABILITIES.call_deadline_ms
    channel = "x" if method == "a" else "y"
    return Start(channel=channel, method=method, account="acc", same=method, force=force, call_until_ms=until_ms)


# -- what may happen next ----------------------------------------------------------------------------------------


def moves(world: World) -> Iterator[tuple[str, World]]:
    """Every thing that may happen in a state, with the state after it."""
    yield from _in_flight(world) if world.flight else _on_time(world)
    yield from _outside(world)
    yield from _wishes(world)


def _in_flight(world: World) -> Iterator[tuple[str, World]]:
    flight = world.flight
    assert flight is not None
    name = f"{flight.call} of {_short(flight.number)}"
    if flight.answer is None:
        after, answer = serve(world, flight)
        yield f"the channel takes the {name}", replace(after, flight=Flight(flight.call, flight.number, answer))
        if world.faults:
            yield f"the {name} is lost on its way", _hear_silence(replace(world, faults=world.faults - 1), flight)
    else:
        yield f"the {name} is answered: {flight.answer.fact}", _hear(world, flight.answer, flight)
        if world.faults:
            yield f"the answer to the {name} is lost", _hear_silence(replace(world, faults=world.faults - 1), flight)
    if world.crashes:
        yield f"the process dies during the {name}", replace(world, flight=None, crashes=world.crashes - 1)


def _on_time(world: World) -> Iterator[tuple[str, World]]:
    step = plan(world.payment, policy_of(world), world.now_ms)
    if step is None:
        return
    now_ms = max(world.now_ms, step.at_ms)
    world = replace(world, now_ms=now_ms)
    if step.kind is StepKind.TICK:
        yield "time passes", _applied(world, Tick())
        return
    until_ms = now_ms + CAPABILITIES.call_deadline_ms
    after = _applied(world, Begin(step=step, until_ms=until_ms))
    flight = Flight(Call(step.kind.value), step.number)
    yield f"{step.kind} of {_short(step.number)} is intended: {step.why}", replace(after, flight=flight)


def _outside(world: World) -> Iterator[tuple[str, World]]:
    yield from _pages(world)
    for number in dict(world.orders):
        attempt, state = world.payment.attempt(number), state_of(world, number)
        if state == "unpaid" and world.payers and attempt is not None and attempt.shown_ms:
            paid = replace(world, orders=put(world.orders, number, "paid"), payers=world.payers - 1)
            yield f"a payer pays {_short(number)}", replace(paid, told=(*world.told, number))
        if state == "closed" and world.late_payers:
            paid = replace(world, orders=put(world.orders, number, "paid"), late_payers=world.late_payers - 1)
            yield f"a payer pays {_short(number)} though it is closed", replace(paid, told=(*world.told, number))
    for number in dict.fromkeys(world.told):
        rest = list(world.told)
        rest.remove(number)
        after = replace(world, told=tuple(rest))
        yield f"a notification of {_short(number)} arrives", _hear(after, moved(number, Road.NOTIFICATION), None)
        if world.faults:
            yield f"a notification of {_short(number)} is lost", replace(after, faults=world.faults - 1)


def _pages(world: World) -> Iterator[tuple[str, World]]:
    """What is made without a call is shown whenever somebody asks for it, and opened while its time lasts."""
    for attempt in world.payment.attempts:
        if not attempt.incoming or policy_of(world)[attempt.channel].by_call(attempt.method):
            continue
        no = attempt.no
        if not attempt.shown_ms and not attempt.settled:
            credential = Credential(body="{}", until_ms=attempt.expires_ms)
            heard = Hear(evidence=(), channel="x", account="acc", answers=no, credential=credential)
            after = _applied(world, heard)
            if after != world:
                yield f"the page of {_short(no)} is shown", after
        elif attempt.shown_ms and no not in dict(world.orders) and world.now_ms < attempt.expires_ms and world.payers:
            yield f"a payer opens the page of {_short(no)}", replace(world, orders=put(world.orders, no, "unpaid"))


def _wishes(world: World) -> Iterator[tuple[str, World]]:
    for wish in world.wishes:
        rest = tuple(w for w in world.wishes if w != wish)
        try:
            if wish == "close":
                yield "the app closes", replace(_applied(world, Close()), wishes=rest)
            elif wish == "refund":
                asked = AskRefund(refund_no="r", minor=60)
                yield "the app refunds 60", replace(_applied(world, asked), wishes=rest)
            elif world.flight is None:
                yield from _switch(world, wish, rest)
        except errors.OncepayError:
            continue


def _switch(world: World, method: str, rest: tuple[str, ...]) -> Iterator[tuple[str, World]]:
    after = _applied(world, _start(method, world.now_ms, force=world.payment.unclosable == "switch"))
    new = [a for a in after.payment.attempts if world.payment.attempt(a.no) is None]
    if new:
        flight = Flight(Call.PREPAY, new[0].no)
        yield (
            f"the app switches to {method} although the first is not over",
            replace(after, flight=flight, wishes=rest),
        )
    try:
        polite = _applied(world, _start(method, world.now_ms))
    except errors.AttemptLive:
        return
    started = [a for a in polite.payment.attempts if world.payment.attempt(a.no) is None]
    if started:
        yield f"the app starts {method}", replace(polite, flight=Flight(Call.PREPAY, started[0].no), wishes=rest)
    elif polite.payment != world.payment:
        yield f"the app wants {method}: the first is superseded", polite


# -- applying ----------------------------------------------------------------------------------------------------


def _applied(world: World, asked: Any) -> World:
    change = decide(world.payment, asked, policy_of(world), world.now_ms)
    return world if change is None else replace(world, payment=change.payment)


def _hear(world: World, evidence: Evidence, flight: Flight | None) -> World:
    credential = None
    if flight is not None and flight.call is Call.PREPAY and evidence.fact is Fact.PENDING:
        credential = Credential(body="{}", until_ms=world.now_ms + 2 * H)
    answers = flight.number if flight else ""
    attempt = world.payment.attempt(evidence.number) or world.payment.attempt(evidence.of)
    channel = attempt.channel if attempt else "x"
    heard = Hear(evidence=(evidence,), channel=channel, account="acc", answers=answers, credential=credential)
    after = _applied(world, heard)
    return after if flight is None else replace(after, flight=None)


def _hear_silence(world: World, flight: Flight) -> World:
    attempt = world.payment.attempt(flight.number)
    out = attempt.of if attempt else ""
    return _hear(world, said(flight.number, Fact.SILENT, flight.call, out=out), flight)


def _short(number: str) -> str:
    return number[26:] or number


# -- judging -----------------------------------------------------------------------------------------------------


def wrong(world: World) -> str:
    """The promise that a state breaks, by the channel's books; "" if none."""
    payment, orders = world.payment, dict(world.orders)
    if payment.status is PaymentStatus.PAID and orders.get(payment.paid_by) != "paid":
        return "it is paid and the channel has no money"
    for number, state in world.orders:
        back = sum(minor for _, of, minor, how in world.backs if of == number and how != "closed")
        if back > (OWED if state == "paid" else 0):
            return f"{back} went back of {_short(number)}, on which {OWED if state == 'paid' else 0} was paid"
    if payment.unclosable == "wait" and len(live := list(_payable(world))) > 1:
        return f"{' and '.join(map(_short, live))} can both be paid, and the app's policy is to wait"
    for refund in payment.refunds:
        tries = [a.no for a in payment.attempts if a.refund_no == refund.refund_no]
        if sum(1 for number, *_, how in world.backs if number in tries and how != "closed") > 1:
            return f"refund {refund.refund_no} was carried out twice"
    return ""


def _payable(world: World) -> Iterator[str]:
    """Numbers that somebody holds a credential of and the channel would take money for."""
    for attempt in world.payment.attempts:
        if attempt.incoming and attempt.shown_ms:
            state = state_of(world, attempt.no)
            open_page = state == "absent" and world.now_ms < attempt.expires_ms
            if state == "unpaid" or open_page:
                yield attempt.no


def ended(world: World) -> bool:
    """Nothing is under way, everything is known, and what is kept is what should be."""
    payment = world.payment
    if world.flight or world.told or any(not a.settled for a in payment.attempts):
        return False
    if any(r.status is RefundStatus.OPEN for r in payment.refunds) or payment.status is PaymentStatus.OPEN:
        return False
    held = sum(OWED for _, state in world.orders if state == "paid") - sum(
        m for _, _, m, how in world.backs if how != "closed"
    )
    asked = sum(r.minor for r in payment.refunds if r.origin is Origin.APP and r.status is RefundStatus.DONE)
    return held == (OWED - asked if payment.status is PaymentStatus.PAID else 0)


def _key(world: World) -> bytes:
    """Two states with the same future are one: times count from now, the far past is all alike."""
    now_ms = world.now_ms

    def relative(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                k: (max(v - now_ms, -20 * DAY) if v else 0) if k.endswith("_ms") else relative(v)
                for k, v in value.items()
                if k not in {"rev", "version", "now_ms", "credential", "words"}
            }
        if isinstance(value, list | tuple):
            return [relative(v) for v in value]
        return value

    return msgspec.json.encode(relative(msgspec.to_builtins(world)))


def explore(budget: Budget, say: Callable[[str], None] = lambda _: None) -> Found:
    """Walk every reachable state. Raises Failure with the shortest story when a promise is broken in one, or when
    one can never end right."""
    started = time.perf_counter()
    first = begin_with(budget)
    keys = {_key(first): 0}
    came: list[tuple[int, str]] = [(-1, "the app creates a payment; the prepay is intended")]
    before: list[list[int]] = [[]]
    depth = [0]
    ends: list[int] = []
    transitions = 0
    queue = deque([(0, first)])
    while queue:
        index, world = queue.popleft()
        if broken := wrong(world):
            raise Failure(broken, _story(came, index))
        if ended(world):
            ends.append(index)
        for label, after in moves(world):
            transitions += 1
            key = _key(after)
            known = keys.get(key)
            if known is None:
                known = keys[key] = len(came)
                came.append((index, label))
                before.append([])
                depth.append(depth[index] + 1)
                queue.append((known, after))
                if known > budget.states_max:
                    raise Failure(f"more than {budget.states_max} states", [])
                if known % 50_000 == 0:
                    say(f"{known} states, {len(queue)} to go, depth {depth[known]}")
            before[known].append(index)
    _all_can_end(came, before, ends)
    return Found(len(came), transitions, max(depth), len(ends), round(time.perf_counter() - started, 1))


def _all_can_end(came: list[tuple[int, str]], before: list[list[int]], ends: list[int]) -> None:
    can = bytearray(len(came))
    queue = deque(ends)
    for index in ends:
        can[index] = 1
    while queue:
        for index in before[queue.popleft()]:
            if not can[index]:
                can[index] = 1
                queue.append(index)
    stuck = can.find(0)
    if stuck >= 0:
        raise Failure(f"{can.count(0)} of {len(can)} states can never end right; the first:", _story(came, stuck))


def _story(came: list[tuple[int, str]], index: int) -> list[str]:
    lines = []
    while index >= 0:
        index, label = came[index]
        lines.append(label)
    return lines[::-1]


BUDGETS: Final = {
    "two attempts": Budget(wishes=("b",), faults=1, crashes=1),
    "two attempts, patient": Budget(wishes=("b",), faults=1, crashes=1, unclosable="wait"),
    "closing": Budget(wishes=("close",), faults=1, crashes=1, payers=1),
    "late money": Budget(wishes=("close",), faults=0, crashes=2, payers=1, late_payers=1),
    "late money accepted": Budget(wishes=("close",), faults=0, crashes=1, late_payers=1, late="accept"),
    "a page": Budget(wishes=("b",), faults=1, crashes=1, way="page"),
    "a page, patient": Budget(wishes=("b",), faults=1, crashes=1, unclosable="wait", way="page"),
    "a form that cannot be closed": Budget(wishes=("b",), faults=1, crashes=1, way="form"),
    "a form, closing": Budget(wishes=("close",), faults=1, crashes=1, payers=1, way="form"),
    "a code told once": Budget(wishes=("b",), faults=1, crashes=1, unclosable="wait", way="once"),
    "a refund": Budget(wishes=("refund",), faults=2, crashes=2, payers=1),
    "all of it": Budget(faults=1, crashes=0),
}


def main() -> None:
    """Explore all worlds and print what was seen."""
    for name, budget in BUDGETS.items():
        found = explore(budget)
        sys.stdout.write(
            f"{name:24} {found.states:8} states {found.transitions:9} transitions depth {found.depth:3}"
            f" {found.ends:6} ends {found.seconds:6} s\n"
        )
        sys.stdout.flush()


if __name__ == "__main__":
    main()
