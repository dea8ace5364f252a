"""Shared commits: what waits at the same moment, from all requests of the process, is written in one transaction.

Nothing here knows a database. The rules, each for a failure that was seen:

* One change a payment in a group; a second waits for the next group. Who won is known per change.
* A group is sorted by primary key, so that two processes take locks in the same order.
* A row that another process holds (busy) goes into a later group a few times; then its caller is told ``Busy``.
* The pump outlives its callers: a cancelled wait never cancels the change, every exception is handed to the members
  of its group, and "no pump is running" is recorded in the same step that saw the queue empty.
* Evidence goes before commands: what a channel said is never kept waiting by what apps want.
* When too much waits, new changes are refused at once with ``Overloaded``: a queue that only grows helps nobody.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Final, Generic, Protocol, TypeVar

from oncepay.domain.change import Change
from oncepay.domain.errors import Busy, CommitUnknown, Overloaded, Unavailable
from oncepay.ports import DeliveryMark

GROUP_MAX: Final = 128
WAITING_MAX: Final = 2048
MARKS_MAX: Final = 8192  # beyond this the oldest are forgotten: each is only a second delivery
MARKS_IN_GROUP_MAX: Final = 512
MARK_WAIT_S: Final = 0.020
BUSY_WAITS_S: Final = (0.002, 0.005, 0.010, 0.020, 0.040)  # a stopped process is given up after 77 ms


class Verdict(Enum):
    """How a change ended. ``LOST``: another road got there first. ``BUSY``: its row is held; nothing was tried."""

    WON = "won"
    LOST = "lost"
    BUSY = "busy"


WON, LOST, BUSY = Verdict.WON, Verdict.LOST, Verdict.BUSY

Outcome = Verdict | Exception


class Backend(Protocol):
    """The database's half."""

    async def write_group(self, group: list[Change], marks: list[DeliveryMark]) -> list[Outcome]:
        """Write a group in one transaction, durable when this returns: one outcome a change, in the group's order.

        The group holds each payment once and is sorted by payment id; marks are sorted by their key, each once.
        Either may be empty. An exception as an outcome is that change's own; a raised one is everybody's.
        """
        ...


class _Member:
    """A change with the future that its caller waits on."""

    __slots__ = ("busy", "change", "done")

    def __init__(self, change: Change, done: asyncio.Future[bool]) -> None:
        self.change = change
        self.done = done
        self.busy = 0  # how often its row was held

    def settle(self, outcome: Outcome) -> None:
        """Tell the caller, if it still waits."""
        if self.done.done():  # its wait was cancelled
            return
        if isinstance(outcome, Exception):
            self.done.set_exception(outcome)
        else:
            self.done.set_result(outcome is WON)


class Pump:
    """One a process and database. ``spacing_s``: least time between the starts of two commits unless a full group
    waits; 0 where a commit needs no company to be cheap."""

    def __init__(
        self,
        backend: Backend,
        *,
        spacing_s: float = 0.0,
        group_max: int = GROUP_MAX,
        waiting_max: int = WAITING_MAX,
        mark_wait_s: float = MARK_WAIT_S,
        busy_waits_s: Sequence[float] = BUSY_WAITS_S,
    ) -> None:
        self._backend = backend
        self._spacing_s = spacing_s
        self._group_max = group_max
        self._waiting_max = waiting_max
        self._mark_wait_s = mark_wait_s
        self._busy_waits_s = busy_waits_s
        self._evidence: deque[_Member] = deque()
        self._commands: deque[_Member] = deque()
        self._unsettled = 0  # queued, in a group, or waiting for a busy row
        self._marks: dict[tuple[str, int, str], DeliveryMark] = {}
        self._marks_timer: asyncio.TimerHandle | None = None
        self._marks_due = False
        self._task: asyncio.Task[None] | None = None  # None is the record that no pump is running
        self._gate: asyncio.Future[None] | None = None
        self._started = float("-inf")
        self._writing_since: float | None = None  # while a group is with the database
        self._calm = asyncio.Event()  # what close() waits on
        self._closed = False

    @property
    def waiting(self) -> int:
        """Changes that are not settled yet."""
        return self._unsettled

    @property
    def held_s(self) -> float:
        """For how many seconds the database has not answered the group that it has; 0 when it has none."""
        since = self._writing_since
        return 0.0 if since is None else asyncio.get_running_loop().time() - since

    async def submit(self, change: Change) -> bool:
        """True: durable. False: another road got there first. Raises Overloaded at once when too much waits, Busy when
        another process keeps holding the payment, Unavailable, CommitUnknown.

        The caller waits on a future that only carries the answer: cancelling it leaves the change where it is.
        """
        if self._closed:
            raise Unavailable("the ledger is closed")
        if self._unsettled >= self._waiting_max:
            raise Overloaded(f"{self._unsettled} changes wait")
        member = _Member(change, asyncio.get_running_loop().create_future())
        self._unsettled += 1
        self._queue(member)
        return await member.done

    def mark(self, marks: Sequence[DeliveryMark]) -> None:
        """Let marks ride with the next group, or go alone when there is none soon. Lost ones are second deliveries."""
        if self._closed:
            raise Unavailable("the ledger is closed")
        for mark in marks:
            self._marks[mark.payment_id, mark.version, mark.endpoint_id] = mark  # the last word on a delivery counts
        while len(self._marks) > MARKS_MAX:
            del self._marks[next(iter(self._marks))]
        if self._marks and self._marks_timer is None and not self._marks_due:
            self._marks_timer = asyncio.get_running_loop().call_later(self._mark_wait_s, self._marks_waited)

    async def close(self) -> None:
        """Take no more, write what waits."""
        self._closed = True
        self._marks_waited()
        while self._unsettled or self._task is not None:
            self._calm.clear()
            await self._calm.wait()

    # -- queueing ------------------------------------------------------------------------------------------------

    def _queue(self, member: _Member) -> None:
        lane = self._evidence if member.change.urgency == "evidence" else self._commands
        lane.append(member)
        if self._gate is not None and self._queued >= self._group_max:
            self._open_gate()
        self._start()

    @property
    def _queued(self) -> int:
        return len(self._evidence) + len(self._commands)

    def _marks_waited(self) -> None:
        if self._marks_timer is not None:
            self._marks_timer.cancel()
            self._marks_timer = None
        if self._marks:
            self._marks_due = True
            self._start()

    def _start(self) -> None:
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="oncepay-pump")

    def _open_gate(self) -> None:
        if self._gate is not None and not self._gate.done():
            self._gate.set_result(None)

    # -- pumping -------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        group: list[_Member] = []
        try:
            while self._queued or self._marks_due:
                await self._pace()
                group = self._pick()
                marks = self._pick_marks()
                self._writing_since = asyncio.get_running_loop().time()
                outcomes = await self._write(group, marks)
                self._writing_since = None
                for member, outcome in zip(group, outcomes, strict=True):
                    self._settle(member, outcome)
                group = []
        except asyncio.CancelledError:
            # The loop is being taken down. Nobody may be left waiting for a pump that is gone.
            for member in group:
                self._finish(member, CommitUnknown("the process is ending"))
            self._abandon(Unavailable("the process is ending"))
            raise
        except BaseException as error:  # a fault of ours in picking or settling: still nobody may hang
            for member in group:
                self._finish(member, CommitUnknown(f"{type(error).__name__} in the pump"))
            self._abandon(Unavailable(f"{type(error).__name__} in the pump"))
            raise
        finally:
            # No await since the queue was seen empty: nobody can have queued in between.
            self._task = None
            self._writing_since = None
            self._calm.set()

    async def _pace(self) -> None:
        """Wait for company: at once when idle or when a full group waits, else ``spacing_s`` after the last start."""
        loop = asyncio.get_running_loop()
        rest_s = self._started + self._spacing_s - loop.time()
        if self._spacing_s and rest_s > 0 and self._queued < self._group_max:
            self._gate = loop.create_future()
            timer = loop.call_later(rest_s, self._open_gate)
            try:
                await self._gate
            finally:
                timer.cancel()
                self._gate = None
        self._started = loop.time()

    def _pick(self) -> list[_Member]:
        """The next group: evidence first, each payment once, sorted. A payment's second change keeps its place."""
        chosen: dict[str, _Member] = {}
        for lane in (self._evidence, self._commands):
            left_behind: list[_Member] = []
            while lane and len(chosen) < self._group_max:
                member = lane.popleft()
                key = member.change.payment.id
                if key in chosen:
                    left_behind.append(member)
                else:
                    chosen[key] = member
            lane.extendleft(reversed(left_behind))
        return [chosen[key] for key in sorted(chosen)]

    def _pick_marks(self) -> list[DeliveryMark]:
        """The marks that ride along, sorted by key."""
        if not self._marks:
            self._marks_due = False
            return []
        keys = sorted(list(self._marks)[:MARKS_IN_GROUP_MAX])
        picked = [self._marks.pop(key) for key in keys]
        self._marks_due = bool(self._marks)
        if not self._marks_due and self._marks_timer is not None:
            self._marks_timer.cancel()
            self._marks_timer = None
        return picked

    async def _write(self, group: list[_Member], marks: list[DeliveryMark]) -> Sequence[Outcome]:
        try:
            outcomes = await self._backend.write_group([member.change for member in group], marks)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to the members
            return [error] * len(group)
        if len(outcomes) != len(group):
            return [CommitUnknown("the store answered for another number of changes")] * len(group)
        return outcomes

    def _settle(self, member: _Member, outcome: Outcome) -> None:
        if outcome is not BUSY:
            self._finish(member, outcome)
        elif member.busy < len(self._busy_waits_s):
            wait_s = self._busy_waits_s[member.busy]
            member.busy += 1
            asyncio.get_running_loop().call_later(wait_s, self._queue, member)
        else:
            self._finish(member, Busy("another process holds this payment", payment=member.change.payment.id))

    def _finish(self, member: _Member, outcome: Outcome) -> None:
        self._unsettled -= 1
        member.settle(outcome)
        if not self._unsettled:
            self._calm.set()

    def _abandon(self, error: Exception) -> None:
        for lane in (self._evidence, self._commands):
            while lane:
                self._finish(lane.popleft(), error)
        self._marks.clear()
        self._marks_due = False


T = TypeVar("T")


class Loader(Generic[T]):
    """Shared loads: ids asked for at the same moment are read in one statement.

    A load never joins a statement that is already running: it sees everything that was committed before it was asked.
    """

    def __init__(
        self,
        load_many: Callable[[list[str]], Awaitable[Mapping[str, T]]],
        *,
        group_max: int = GROUP_MAX,
        waiting_max: int = 2 * WAITING_MAX,
    ) -> None:
        self._load_many = load_many
        self._group_max = group_max
        self._waiting_max = waiting_max
        self._waiting: dict[str, list[asyncio.Future[T | None]]] = {}
        self._count = 0
        self._task: asyncio.Task[None] | None = None

    async def load(self, key: str) -> T | None:
        """One thing, or None when there is none. Raises what the shared statement raised, and Overloaded."""
        if self._count >= self._waiting_max:
            raise Overloaded(f"{self._count} loads wait")
        loop = asyncio.get_running_loop()
        done: asyncio.Future[T | None] = loop.create_future()
        self._waiting.setdefault(key, []).append(done)
        self._count += 1
        if self._task is None:
            self._task = loop.create_task(self._run(), name="oncepay-loader")
        return await done

    async def _run(self) -> None:
        group: dict[str, list[asyncio.Future[T | None]]] = {}
        try:
            while self._waiting:
                if len(self._waiting) <= self._group_max:
                    group, self._waiting = self._waiting, {}
                else:
                    group = {key: self._waiting.pop(key) for key in list(self._waiting)[: self._group_max]}
                found = await self._read(list(group))
                self._answer(group, found)
                group = {}
        finally:
            # Empty unless the loop is being taken down: then nobody may be left waiting.
            self._answer(group, Unavailable("the process is ending"))
            self._answer(self._waiting, Unavailable("the process is ending"))
            self._waiting = {}
            self._task = None

    async def _read(self, keys: list[str]) -> Mapping[str, T] | Exception:
        try:
            return await self._load_many(keys)
        except Exception as error:  # noqa: BLE001 - whatever it is belongs to those who wait
            return error

    def _answer(self, group: Mapping[str, list[asyncio.Future[T | None]]], found: Mapping[str, T] | Exception) -> None:
        for key, waiters in group.items():
            self._count -= len(waiters)
            for done in waiters:
                if done.done():  # its wait was cancelled
                    continue
                if isinstance(found, Exception):
                    done.set_exception(found)
                else:
                    done.set_result(found.get(key))
