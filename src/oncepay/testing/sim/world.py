"""One world from one seed: it storms, then there is peace, then the judges speak."""

from __future__ import annotations

import asyncio
import gc
import hashlib
from collections import Counter
from collections.abc import Callable
from contextlib import nullcontext
from contextvars import Context
from random import Random
from typing import Any, Final, cast

import msgspec

from oncepay.domain.attempt import Call
from oncepay.domain.change import Change
from oncepay.testing.sim.broker import Broker
from oncepay.testing.sim.disk import disk
from oncepay.testing.sim.ground import SQL, ground, new_sandbox, spare_keys
from oncepay.testing.sim.judges import Complaint, Judges
from oncepay.testing.sim.loop import Life, SimLoop, Stuck
from oncepay.testing.sim.options import PERSONS, Options, rates_of
from oncepay.testing.sim.payers import Payer
from oncepay.testing.sim.polls import Polls
from oncepay.testing.sim.process import START_MS, Process, kept_routes
from oncepay.testing.sim.roads import Asked, Carrier, Heard, Lost, Roads, Waiting, serve
from oncepay.testing.sim.seals import quick_seals
from oncepay.testing.sim.shop import Shop
from oncepay.testing.sim.witness import Witness

CRASHES_MAX: Final = 12
REFUSALS: Final = 6
STORM_S: Final = 600.0  # in which the store goes away and the shop is shut
STORM_MAX_S: Final = 4 * 3_600.0
HOUR_S: Final = 3_600.0
STILL_S: Final = 30 * HOUR_S  # a call's longest time, the longest margin of a channel, and the next number's turn
READS_MAX: Final = 1_000  # of pages of a list, failed ones too, before there is said to be no end of them
# When peace is looked at, in hours from its start. A week and a half: what a bank debited too late goes back after five
# days, and the last look at money that is over is a day after that.
LOOKS_H: Final = (0.3, 1.0, 2.5, 8.0, 26.0, 50.0, 130.0, 260.0)


class World:
    """``run`` it once. ``people``: makes other payers than the seed's, once there are channels."""

    def __init__(self, seed: int, options: Options, people: Callable[[World], list[Payer]] | None = None) -> None:
        self.seed = seed
        self.options = options
        self.ground = ground()
        self.raging = True
        self.unknown = options.unknown
        self.store_is_away = False
        self.context = Context()  # the world's own: nobody's life
        self.struck: Counter[str] = Counter()
        self.hits: Counter[str] = Counter()
        self.trace: list[tuple[float, str, str]] = []
        self.points = 0
        self.calls = 0
        self.calls_of: Counter[str] = Counter()
        self.crashed_at: list[int] = []
        self.cases: list[str] = []
        self.named_by = frozenset[str]()
        self._people = people
        self._dice = Random(f"{seed}:world")
        self._crashes = Random(f"{seed}:crashes")
        self._dice_still = Random(f"{seed}:still")
        self._still: set[Life] = set()
        self.awake_s = 0.0  # when all who stood still for days have gone on
        self._processes: list[Process] = []
        self._counts: Counter[str] = Counter()
        self._grave: list[asyncio.Future[None]] = []
        self.loop = SimLoop(Random(f"{seed}:order"), self._idle)
        self.polls = Polls(self)
        self.judges = Judges(self)

    def run(self) -> list[Complaint]:
        """From the beginning to the end; what was not as promised."""
        real = self.options.real
        seals = nullcontext() if real else quick_seals()
        keys = spare_keys() if self.options.rotations else nullcontext()
        with seals, keys, kept_routes(), disk(self.ground.database, self.polls.written, real=real) as self.disk:
            self._next_due = self.disk.look.cursor().execute
            self.witness = Witness(self)
            self.loop.set_exception_handler(self._unhandled)
            collecting = gc.isenabled()
            gc.disable()  # or it would finish what is frozen
            try:
                self.loop.run_until_complete(self._live())
            except Stuck as stuck:
                self.judges.complain("I15", str(stuck))
            finally:
                for process in self._processes:
                    process.kill()
                self.witness.close()
                self.shop.close()
                self.loop.bury()
                if collecting:
                    gc.enable()
        self.struck.update(self.sandbox.faults.struck)
        return self.judges.complaints

    def digest(self) -> str:
        """Of the whole trace: two runs of a seed must have the same."""
        return hashlib.blake2b(msgspec.json.encode(self.trace), digest_size=16).hexdigest()

    # -- what happens --------------------------------------------------------------------------------------------

    async def _live(self) -> None:
        self.sandbox = new_sandbox(lambda: START_MS / 1000 + self.loop.time(), self.seed, lambda: Carrier(self))
        self.named_by = frozenset(key for vendor in self.sandbox.vendors.values() for key in vendor.pay_keys)
        self.sandbox.faults.replace(rates_of(self.options))
        self.roads = Roads(self)
        self.shop = Shop(self)
        self.broker = Broker(self)
        for n in range(self.options.processes):
            self._begin(f"p{n + 1}")
        self._plan_trouble()
        if PERSONS in self.options.faults:
            self.loop.create_task(self._person())
        people = self._people(self) if self._people else [Payer(self, n) for n in self.options.orders]
        storm = asyncio.gather(*(self._lives(payer) for payer in people))
        try:
            await asyncio.wait_for(storm, STORM_MAX_S)
        except TimeoutError:
            self.judges.complain("I15", "people waited for four hours")
        await asyncio.sleep(5.0)
        await self._peace()

    async def _lives(self, payer: Payer) -> None:
        await payer.live()

    def _plan_trouble(self) -> None:
        dice = self._dice
        for _ in range(self.options.away):
            at_s, for_s = dice.random() * STORM_S, 1 + dice.random() ** 2 * 60
            self.loop.call_later(at_s, self._away, "is away", context=self.context)
            self.loop.call_later(at_s + for_s, self._away, "answers again", context=self.context)
        for _ in range(self.options.shut):
            at_s, for_s = dice.random() * STORM_S, dice.random() * 1800
            self.loop.call_later(at_s, self._shut, "shuts", context=self.context)
            self.loop.call_later(at_s + for_s, self._shut, "opens", context=self.context)
        dice = Random(f"{self.seed}:broken")
        for _ in range(self.options.broken):
            at_s, for_s = dice.random() * STORM_S, dice.choice((5.0, 120.0, 1_800.0)) * dice.random()
            self.loop.call_later(at_s, self.broker.goes, "is down", context=self.context)
            self.loop.call_later(at_s + for_s, self.broker.goes, "is up", context=self.context)
        dice = Random(f"{self.seed}:rotations")
        for _ in range(self.options.rotations):
            vendor = dice.choice(sorted(self.sandbox.vendors))
            self.loop.call_later(dice.random() * STORM_S, self._rotate, vendor, context=self.context)

    async def _person(self) -> None:
        """Who looks into the channel's console now and then, and sends refunds whose card is gone to another one."""
        dice = Random(f"{self.seed}:person")
        while True:
            await asyncio.sleep(dice.choice((60.0, 900.0, 7_200.0)) * (0.5 + dice.random()))
            for row in self.sandbox.books():
                for refund in row.refunds:
                    if refund.status == "ABNORMAL":
                        self.sandbox.send_elsewhere(refund.number, row.channel)
                        self.note("person", f"sends refund {refund.number} elsewhere")
                        self.hit("a person sent a refund elsewhere")

    def _rotate(self, vendor: str) -> None:
        self.sandbox.vendors[vendor].renew()
        self.note("channel", f"{vendor} signs by a new certificate")
        self.hit("a vendor had a new certificate")

    def _away(self, how: str) -> None:
        self.store_is_away = how == "is away" and self.raging
        self.note("store", how)

    def _shut(self, how: str) -> None:
        self.shop.shut = how == "shuts" and self.raging
        self.note("shop", how)

    async def _peace(self) -> None:
        """No faults any more, and time passes until the books agree."""
        self.note("world", "peace")
        self.raging, self.unknown, self.store_is_away, self.shop.shut = False, 0.0, False, False
        self.sandbox.faults.clear()
        if self.options.faults.get("refund_closed") == 1.0:  # refusals go on: else no refund ever fails
            self.sandbox.faults.replace({"once": [{"fault": "refund_closed", "times": REFUSALS}]})
        self.roads.clear()
        if self.options.queue:
            self.broker.goes("is up")
        for process in self._processes:
            process.clock.skew_ms = 0
        began_s, wrong = self.loop.time(), []
        for hours in LOOKS_H:
            await asyncio.sleep(max(0.0, began_s + hours * HOUR_S - self.loop.time()))
            due = await self._all("/v1/deliveries", "status=due")
            wrong = self.judges.at_rest(await self._all("/v1/payments"), due)
            awake = self.loop.time() > self.awake_s + HOUR_S or not self.awake_s
            if not wrong and awake and hours * HOUR_S >= self.options.patience_s:
                break
        self.hits[f"peace took {hours:g} h"] += 1
        self.judges.complaints += wrong
        payments, feed = await self._all("/v1/payments"), await self._all("/v1/events")
        self.cases = [case["kind"] for case in await self._all("/v1/cases")]
        self.judges.at_end(payments, feed)
        self._count(payments)

    async def _all(self, path: str, query: str = "") -> list[dict[str, Any]]:
        """Every page of a list. Raises Stuck when in peace there is no end of them."""
        rows: list[dict[str, Any]] = []
        after = ""
        for _ in range(READS_MAX):
            asked = "&".join(part for part in ("limit=100", query, after) if part)
            said = await self.shop.ask("GET", path, query=asked)
            if said is None or said.status != 200:
                await asyncio.sleep(1.0)
                continue
            rows += said.body["data"]
            if not said.body["next"] or not said.body["data"]:
                return rows
            after = f"after={said.body['next']}"
        raise Stuck(f"in peace {path} cannot be read to its end")

    def _count(self, payments: list[dict[str, Any]]) -> None:
        for payment in payments:
            self.hit(f"a payment ended {payment['status']}")
            if payment["closed"]:
                self.hit(f"a payment was closed: {payment['closed']['why']}")
            for refund in payment["refunds"]:
                self.hit(f"a refund of {refund['origin']}: {refund['status']}")
            if payment["status"] == "paid" and payment["paid"]["paid_ms"] > payment["deadline_ms"]:
                self.hit("money after the deadline was accepted")
        for told in self.shop.told:
            for change in told.event.changes:
                self.hit(f"an event told: {change}")
        self.hits.update(f"a case: {kind}" for kind in self.cases)
        if [p for p in payments if p["status"] == "paid"] and self.options.faults.get("notify_none") == 1.0:
            self.hit("a payment was paid and no notification ever came")

    # -- processes -----------------------------------------------------------------------------------------------

    def _begin(self, name: str) -> None:
        self._counts[name] += 1
        process = Process(self, name, self._counts[name])
        self._processes = [p for p in self._processes if p.life.alive] + [process]
        process.start()

    async def point(self, life: Life, what: str) -> None:
        """A numbered point, at which a process may die or be stopped."""
        self.points += 1
        self.trace.append((self.loop.time(), life.name, what))
        options = self.options
        dies = self.points in options.crash_at
        if self.raging and options.crash and len(self.crashed_at) < CRASHES_MAX:
            dies = dies or self._crashes.random() < options.crash
        if dies:
            self._crash(life, what)
            await self._for_ever()
        if self.raging and options.stop and self._crashes.random() < options.stop:
            self._stop(life)
            await asyncio.sleep(0)

    def _crash(self, life: Life, what: str) -> None:
        self.crashed_at.append(self.points)
        self.note(life.name, f"DIES {what}")
        process = next(p for p in self._processes if p.life is life)
        process.kill()
        self.hit(f"a process died {what.split(' /', maxsplit=1)[0]}")
        if not any(p.life.alive for p in self._processes):
            self.hit("no process was left")
        dice = Random(f"{self.seed}:pause:{self.points}")
        pause_s = dice.choice((0.05, 2.0, 2.0, 45.0, 300.0)) * (0.5 + dice.random())
        self.loop.call_later(pause_s, self._begin, process.name, context=self.context)

    def _stop(self, life: Life) -> None:
        pause_s = self._dice.choice((0.5, 10.0, 60.0)) * (0.5 + self._dice.random())
        self.hit("a process was stopped past its leases" if pause_s > 30 else "a process was stopped for a moment")
        self._stands(life, pause_s)

    async def before_call(self, life: Life, change: Change) -> None:
        """The intent of a call is committed: of a refund's, the process may stand still till long after its time. (What
        stands still between its last look at the clock and the call itself is assumed not to do so for as long.)"""
        begun = any(a.asked is Call.REFUND and a.until_ms > change.at_ms for a in change.payment.attempts)
        awake = [p for p in self._processes if p.up and p.life is not life and p.life not in self._still]
        if begun and awake and self.raging and self._dice_still.random() < self.options.still:
            for_s = STILL_S * (1 + self._dice_still.random())
            self._still.add(life)
            self.awake_s = max(self.awake_s, self.loop.time() + for_s)
            self.hit("a process stood still between a refund's intent and its call")
            self._stands(life, for_s)
            await asyncio.sleep(0)

    def _stands(self, life: Life, for_s: float) -> None:
        life.stopped = True
        self.note(life.name, f"is stopped for {for_s:.1f} s")
        self.loop.call_later(for_s, self._goes_on, life, context=self.context)

    def _goes_on(self, life: Life) -> None:
        self._still.discard(life)
        self.loop.go_on(life)

    async def _for_ever(self) -> None:
        self._grave.append(self.loop.create_future())
        await self._grave[-1]

    async def ask_centre(
        self, road: str, asked: Asked, wait_s: float, answered: Callable[[Heard], None] = lambda _: None
    ) -> Heard:
        """One request to whichever process is up. ``answered``: sees each answer as it leaves. Raises Lost."""

        def arrives(waiting: Waiting) -> None:
            up = [p for p in self._processes if p.up and p.life not in self._still]  # as whoever balances sees
            if not up:
                waiting.fail("nobody is up")
                return
            process = up[int(self._dice.random() * len(up))]
            process.waiting.add(waiting)

            def answer(heard: Heard) -> None:
                process.waiting.discard(waiting)
                answered(heard)
                waiting.answer(heard)

            self.loop.in_life(process.life, serve(process, asked, answer), f"serves {asked.path}")

        heard: Heard = await self.roads.send(road, arrives, wait_s).answered()
        return heard

    # -- time ----------------------------------------------------------------------------------------------------

    def _idle(self, at_s: float | None) -> float | None:
        """Nothing is ready: what is next, a timer or somebody who looks for work?"""
        polled_s = self.polls.next_s()
        if polled_s is None or (at_s is not None and at_s < polled_s):
            return at_s
        self.polls.wake(polled_s)
        return polled_s

    def next_due_ms(self) -> dict[str, int | None]:
        """When there is something to do for those who poll. Not for judges."""
        payments, deliveries = self._next_due(SQL["next_due"]).fetchall()[0]
        return {"payments": cast("int | None", payments), "deliveries": cast("int | None", deliveries)}

    # -- what is noted -------------------------------------------------------------------------------------------

    def note(self, who: str, what: str) -> None:
        """A line of the trace."""
        self.trace.append((self.loop.time(), who, what))

    def hit(self, goal: str) -> None:
        """Something happened that must happen sometimes."""
        self.hits[goal] += 1

    def written(self, values: tuple[Any, ...], name: str, told: Any) -> None:
        """A process has written something."""
        if name == "commit":
            self.note("store", described(values[0]) if told else f"{values[0].payment.id}: another was faster")
            if not told:
                self.hit("a process lost the guard")
            elif values[0].event is not None and "paid" in values[0].event.changes:
                self.hits.update({f"a {e.road} was the first to tell of a payment" for e in values[0].evidence})
        elif name == "save_account":  # nothing else changes accounts here
            self.hit("a process learned a new key of a vendor")

    def _unhandled(self, _: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.judges.complain("I20", f"nobody handled: {context.get('message')} {error!r}")


def described(change: Change) -> str:
    """A change in one line, for people: what was heard, what is called for, how things stand, what the app is told."""
    payment, tail = change.payment, len(change.payment.id)
    said = [f"{e.road.value} says {e.fact.value} of {e.number[tail:]}" for e in change.evidence]
    calls = [f"{a.asked.value} of {a.no[tail:]} begins" for a in payment.attempts if a.until_ms and a.asked]
    stand = [f"{a.no[tail:]} {a.status.value}" for a in payment.attempts]
    told = [f"tells version {change.event.version}: {', '.join(change.event.changes)}"] if change.event else []
    cases = [f"case {case.kind}" for case in change.cases]
    return f"{payment.id} rev {payment.rev} {payment.status.value}: {'; '.join([*said, *calls, *stand, *told, *cases])}"


__all__ = ["Lost", "World"]
