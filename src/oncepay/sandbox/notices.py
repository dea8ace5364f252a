"""Notifications on their way: first delivery, the vendor's timetable of repeats, and every fault of the road.

A vendor's own notifier says how a delivery looks (``dress``), what counts as taken (``took``), and its timetable.
"""

import abc
import asyncio
import logging
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import msgspec

from oncepay.sandbox.faults import Rule

if TYPE_CHECKING:
    from oncepay.sandbox.vendor import Ground

log = logging.getLogger(__name__)

RECENT_MAX: Final = 2000


class Notice(msgspec.Struct):
    """One notification and how far its delivery has come. Times in epoch seconds."""

    id: str
    merchant: str
    number: str  # the order's
    event: str
    url: str
    body: str
    due: float
    tries: int = 0
    taken: bool = False
    last_status: int | None = None  # None: no answer, or not tried yet
    instead: str = ""  # another form of the body, when a fault asked for it


class Notifier(abc.ABC):
    """Delivers notifications over pooled keep-alive connections.

    kind: what the journal calls them. gaps_s: seconds between a failed delivery and the next.
    answer_s: how long an answer may take.
    """

    def __init__(
        self,
        kind: str,
        gaps_s: tuple[int, ...],
        answer_s: float,
        ground: "Ground",
    ) -> None:
        self._kind = kind
        self._gaps_s = gaps_s
        self._answer_s = answer_s
        self._clock = ground.clock
        self._faults = ground.faults
        self.switches = ground.switches
        self._journal = ground.journal
        self._poster = ground.post()
        self._tasks: set[asyncio.Task[None]] = set()
        self._held: dict[str, list[Notice]] = {}
        self.recent: deque[Notice] = deque(maxlen=RECENT_MAX)

    @abc.abstractmethod
    def dress(self, notice: Notice, *, forged: bool) -> tuple[dict[str, str], bytes]:
        """A delivery as it goes out now: headers and body, signed by a stranger when ``forged``."""

    @abc.abstractmethod
    def took(self, status: int, body: bytes, /) -> bool:
        """Whether this answer says that the merchant has it."""

    def restore(self, kept: Mapping[str, Mapping[str, bytes]]) -> None:
        """Take up the deliveries that an earlier process did not finish."""
        for raw in kept.get(self._kind, {}).values():
            self._schedule(msgspec.json.decode(raw, type=Notice))

    def begin(self, notice: Notice) -> None:
        """Set a notification on its way, unless a fault keeps it from ever leaving."""
        faults, number = self._faults, notice.number
        self.recent.append(notice)
        if faults.strike("notify_none", "notify", number):
            return
        delay_s = self.switches.notify_delay_s
        late = faults.strike("notify_late", "notify", number)
        if late is not None:
            delay_s += 60.0 if late.seconds is None else late.seconds
        notice.due += delay_s
        self._note(notice)
        held = faults.strike("notify_reordered", "notify", number)
        if held is not None:
            self._hold(notice, held)
        else:
            self._schedule(notice)

    async def deliver_now(self, notice: Notice, *, forged: bool) -> int | None:
        """Deliver once, outside the timetable; the status answered, or None when there was no answer."""
        headers, body = self.dress(notice, forged=forged)
        answer = await self._poster.ask(notice.url, headers, body, self._answer_s)
        return None if answer is None else answer[0]

    async def settle(self) -> None:
        """Wait for the deliveries that are under way now."""
        while self._tasks:
            await asyncio.wait(set(self._tasks))

    async def close(self) -> None:
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._poster.close()

    def _hold(self, notice: Notice, rule: Rule) -> None:
        """Keep a notification back until the next one of its order, or for some time."""
        waiting = self._held.setdefault(notice.number, [])
        waiting.append(notice)

        def release() -> None:
            if notice in waiting:
                waiting.remove(notice)
                self._schedule(notice)

        seconds = 60.0 if rule.seconds is None else rule.seconds
        self._clock.at(self._clock.now() + seconds, release)

    def _schedule(self, notice: Notice) -> None:
        if notice.due <= self._clock.now():
            self._start(notice)
        else:
            self._clock.at(notice.due, lambda: self._start(notice))

    def _start(self, notice: Notice) -> None:
        task = asyncio.get_running_loop().create_task(self._deliver(notice), name=notice.id)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver(self, notice: Notice) -> None:
        headers, body = self._dressed(notice)
        notice.tries += 1
        notice.last_status = None
        taken = False
        if not self._faults.strike("notify_lost", "notify", notice.number):
            answer = await self._poster.ask(notice.url, headers, body, self._answer_s)
            if answer is not None:
                notice.last_status, taken = answer[0], self.took(*answer)
        if self._faults.strike("notify_duplicate", "notify", notice.number):
            await self._poster.ask(notice.url, *self._dressed(notice), self._answer_s)
        if taken:
            notice.taken = True
            self._journal.note(self._kind, notice.id, None)
        elif notice.tries <= len(self._gaps_s):
            notice.due = self._clock.now() + self._gaps_s[notice.tries - 1]
            self._note(notice)
            self._schedule(notice)
        else:
            log.info("notice.given_up id=%s number=%s", notice.id, notice.number)
            self._journal.note(self._kind, notice.id, None)
        waiting = self._held.pop(notice.number, [])
        while waiting:  # emptied, so that the release by time finds nothing
            self._schedule(waiting.pop(0))

    def _dressed(self, notice: Notice) -> tuple[dict[str, str], bytes]:
        forged = self._faults.strike("notify_forged", "notify", notice.number) is not None
        return self.dress(notice, forged=forged)

    def _note(self, notice: Notice) -> None:
        self._journal.note(self._kind, notice.id, notice)
