"""Planted bugs: each a patch of the real core, with the promise that must notice it. A judge that finds none of them
judges nothing.

To add one, write a context manager that patches (``patching.instead``, ``patching.attribute``) and put it into
``PLANTED``. ``caught`` runs seeds until one complains.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

import msgspec

from oncepay.domain import commands, decide, desk, ids, plan, settle
from oncepay.domain.change import Change, Input, StepKind
from oncepay.domain.payment import Payment
from oncepay.engine import intake, refund
from oncepay.engine.core import Engine
from oncepay.engine.deliver import Deliverer
from oncepay.ports import Outcome as Delivery
from oncepay.publishers import links
from oncepay.store.sqlite import SqliteLedger
from oncepay.store.sqlite_group import GroupWriter
from oncepay.testing.edits import edit
from oncepay.testing.sim.ground import ground
from oncepay.testing.sim.patching import attribute, instead
from oncepay.testing.sim.run import Outcome, report, run, shrink

SEEDS_MAX: Final = 100


class Planted(NamedTuple):
    """A bug. ``promises``: those of which at least one must be complained about."""

    name: str
    promises: frozenset[str]
    plant: Callable[[], AbstractContextManager[object]]


class Caught(NamedTuple):
    """How it was found. ``seeds``: how many worlds it took."""

    seeds: int
    outcome: Outcome


def caught(bug: Planted, seeds: Iterable[int] = range(SEEDS_MAX)) -> Caught | None:
    """Run worlds with the bug until the judges complain of one of its promises; None when they never do."""
    ground()
    with bug.plant():
        for count, seed in enumerate(seeds, 1):
            found = run(seed)
            if any(promise in bug.promises for promise, _, _ in found.complaints):
                return Caught(count, found)
    return None


def main(say: Callable[[str], None], names: Iterable[str] = ()) -> int:
    """Plant each, or those of these names, and print how it was found. 0 when all were."""
    missed, wanted = 0, frozenset(names)
    for bug in PLANTED:
        if wanted and bug.name not in wanted:
            continue
        found = caught(bug)
        if found is None:
            missed += 1
            say(f"MISSED  {bug.name}")
            continue
        with bug.plant():
            smallest = shrink(found.outcome, runs=40)
        say(f"caught  {bug.name}: after {found.seeds} seeds")
        for line in report(smallest):
            say(f"        {line}")
    return 1 if missed else 0


# -- the bugs ----------------------------------------------------------------------------------------------------------


@contextmanager
def _late_money_dropped() -> Iterator[None]:
    def only_what_pays(at: desk.Desk, number: str) -> None:
        attempt = at.payment.attempt(number)
        if attempt is not None and not at.payment.paid_by:
            settle.pay(at, attempt)

    with instead(settle.money_in, only_what_pays):
        yield


@contextmanager
def _never_asked() -> Iterator[None]:
    real = plan.steps

    def without_questions(*given: Any) -> Iterator[Any]:
        return (step for step in real(*given) if step.kind is not StepKind.QUERY)

    with instead(plan.steps, without_questions):
        yield


@contextmanager
def _outbox_apart() -> Iterator[None]:
    real = SqliteLedger.commit

    async def without_deliveries(self: SqliteLedger, change: Change) -> bool:
        return await real(self, msgspec.structs.replace(change, deliveries=()))

    with attribute(SqliteLedger, "commit", without_deliveries):
        yield


@contextmanager
def _no_guard() -> Iterator[None]:
    real = GroupWriter.__init__

    def unguarded(self: GroupWriter, writer: Any, sql: Any) -> None:
        real(self, writer, {**sql, "guard_payment": sql["guard_payment"].replace("AND rev = ", "AND 0 < ")})

    with attribute(GroupWriter, "__init__", unguarded):
        yield


@contextmanager
def _refund_tried_beside_one_in_doubt() -> Iterator[None]:
    def none(*_: Any, **__: Any) -> list[Any]:
        return []

    with instead(desk.in_doubt, none):
        yield


@contextmanager
def _order_is_no_key() -> Iterator[None]:
    real, count = ids.payment_id, iter(range(1_000_000))

    def another(installation: str, app: str, order_no: str) -> str:
        return real(installation, app, f"{order_no}/{next(count)}")

    with instead(ids.payment_id, another):
        yield


@contextmanager
def _switch_at_once() -> Iterator[None]:
    def yes(*_: Any) -> bool:
        return True

    with instead(commands._is_stranded, yes):  # noqa: SLF001 - a rule deep inside is broken on purpose
        yield


@contextmanager
def _delivered_unconfirmed() -> Iterator[None]:
    def as_if_confirmed(why: str) -> Delivery:
        return Delivery(delivered=True, why=why)

    with instead(links.down, as_if_confirmed):
        yield


@contextmanager
def _refund_only_decided() -> Iterator[None]:
    async def decided(engine: Engine, payment: Payment, asked: Input) -> Payment:
        change = decide.decide(payment, asked, engine.policy, engine.clock.now_ms())
        return change.payment if change else payment

    async def nothing(_: Engine, payment: Payment, **__: int) -> Payment:
        return payment

    with attribute(refund, "apply", decided), attribute(refund, "run_due", nothing):
        yield


PLANTED: Final = (
    Planted("money that comes late is dropped", frozenset({"I3"}), _late_money_dropped),
    Planted("channels are never asked", frozenset({"I2", "I3", "I15"}), _never_asked),
    Planted("the outbox is not in the change's transaction", frozenset({"I8"}), _outbox_apart),
    Planted("the guard is not looked at", frozenset({"I7", "I8", "I11"}), _no_guard),
    Planted("a refund is tried again beside one in doubt", frozenset({"I3", "I4"}), _refund_tried_beside_one_in_doubt),
    Planted("a switch does not wait for the old attempt's end", frozenset({"I1"}), _switch_at_once),
    Planted("the same order again is another payment", frozenset({"I10"}), _order_is_no_key),
    Planted("a message counts as delivered without its confirm", frozenset({"I8"}), _delivered_unconfirmed),
    Planted(
        "what is in doubt counts as failed when its time is over",
        frozenset({"I3", "I5", "I6"}),
        edit(decide._what_time_does, "never_sent(attempt)", "not attempt.settled"),  # noqa: SLF001
    ),
    Planted(
        "each refund is held against what was paid, not against what is left",
        frozenset({"I3", "I4"}),
        edit(commands.ask_refund, "asked.minor > payment.kept", "asked.minor > payment.minor"),
    ),
    Planted(
        "an event tells of the payment as it was before",
        frozenset({"I5", "I7", "I9"}),
        edit(decide._change, "snapshot=snapshot(desk.payment)", "snapshot=snapshot(before)"),  # noqa: SLF001
    ),
    Planted(
        "an event that the shop refused counts as delivered",
        frozenset({"I8"}),
        edit(Deliverer._deliver, "if outcome.delivered:", "if outcome.why:"),  # noqa: SLF001
    ),
    Planted("a refund is acknowledged and nothing of it written", frozenset({"I11"}), _refund_only_decided),
    Planted(
        "a notification makes the centre raise",
        frozenset({"I20"}),
        edit(intake._place, "heard = Hear(", "raise KeyError(number)\n    heard = Hear("),  # noqa: SLF001
    ),
    Planted(
        "a change is remembered before it is written",
        frozenset({"I11"}),
        edit(Engine.commit, "won = await", "self._remember(change.payment)\n        won = await"),
    ),
    Planted(
        "a notification is acknowledged while its change is being written",
        frozenset({"I11"}),
        edit(
            intake.notification,
            "outcome = await _place(engine, account, notice, headers=headers, body=body)",
            "placing = __import__('asyncio').create_task(_place(engine, account, notice, headers=headers, body=body))\n"
            "        engine.background.add(placing)\n        outcome = 'taken'",
        ),
    ),
)
