"""``SubmissionGuard``: of the submissions that are the same, the first makes an order, the others get its number.

The guard is a primary key in the app's own database, added in the very transaction that makes the order: so there is an
order if and only if there is a key. A creation that fails or crashes takes its key with it, and who comes second waits
for the first by the database's own means. A door before it (``doors.py``, ``redis_door.py``) spares the database the
waiting; it decides nothing.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final, Generic, TypeVar

from oncepay.client.around import AROUND, Around
from oncepay.client.guards.doors import AsyncDoor, Door
from oncepay.client.guards.errors import Contended
from oncepay.client.guards.fingerprint import fingerprint
from oncepay.client.guards.links import async_link_of, link_of
from oncepay.client.guards.scripts import TRIES_MAX, Row, Script, change, rows
from oncepay.client.guards.transactions import AsyncBegin, Begin, persist, persist_async

T = TypeVar("T")

WINDOW_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """What became of a submission. ``order_no``: of the order that it, or the first of its kind, made; None while that
    one is still being created: ask again in a moment. ``first``: the order was made by this one."""

    order_no: str | None
    first: bool

    @property
    def creating(self) -> bool:
        """The first of its kind is not through yet."""
        return self.order_no is None


def claiming(digest: str, order_no: str, now_ms: int, window_ms: int) -> Script[Submission]:
    """Be the first of a kind with this order, or learn which order the first has made."""
    until_ms = now_ms + window_ms
    found: list[Row] = []
    for _ in range(TRIES_MAX):
        if (yield from change("submit", digest=digest, order_no=order_no, until_ms=until_ms)) == 1:
            return Submission(order_no=order_no, first=True)
        if found := (yield from rows("submitted", digest=digest)):
            break  # else it was pruned this very moment
    else:
        raise Contended(f"the submission of order {order_no} found one of its kind and lost it, {TRIES_MAX} times")
    ((made, open_until_ms),) = found
    if open_until_ms > now_ms:
        return Submission(order_no=made, first=False)
    yield from change("resubmit", digest=digest, order_no=order_no, until_ms=until_ms)
    return Submission(order_no=order_no, first=True)


def _check_window(window_s: float, door: Door | AsyncDoor | None) -> None:
    making_s = getattr(door, "making_s", 0.0)  # a door of the app's own need not say
    if making_s > window_s:
        raise ValueError(
            f"window_s is {window_s:g}, and the door is shut for {making_s:g} s: a new wish to buy would be told in "
            "between that the last is being created; give the door a making_s that is not longer than the window"
        )


def finding(digest: str, now_ms: int) -> Script[Submission]:
    """The order that the first of a kind has made, if it has."""
    found = yield from rows("find_submitted", digest=digest, now_ms=now_ms)
    return Submission(order_no=found[0][0] if found else None, first=False)


def pruning(now_ms: int) -> Script[int]:
    """Forget submissions whose window is over; how many."""
    return (yield from change("prune_submitted", now_ms=now_ms))


class SubmissionGuard(Generic[T]):
    """Guards the creation of orders, for threads.

    ``begin``: opens a transaction of the app's database (``transactions.py``). ``window_s``: how long after the first a
    submission with the same fields is taken for a repeat, and not for another wish to buy. ``door``: keeps repeats
    from the database while the first is being made. Raises ValueError when its ``making_s`` is longer than the window:
    it stays shut after the order was made, and would keep the next wish to buy out.
    """

    def __init__(
        self, begin: Begin[T], *, window_s: float = WINDOW_S, door: Door | None = None, around: Around = AROUND
    ) -> None:
        _check_window(window_s, door)
        self._begin = begin
        self._window_ms = round(window_s * 1000)
        self._door = door
        self._around = around

    def once(self, fields: Mapping[str, Any], order_no: str, create: Callable[[T], object]) -> Submission:
        """Make an order, unless one was made of the same fields within the window.

        ``fields``: what makes two submissions the same (``fingerprint.py``): who buys, what, how many; or a number that
        the form carries. ``order_no``: a number for the new order, drawn anew for each submission. ``create``: writes
        the order with what the transaction yields, and commits nothing; it is called when this is the first, and what
        it raises comes out after the roll-back, with the key free again; it is called again when the database ended the
        transaction because another was in its way.

        Raises GuardUnavailable when the door is broken, and the app chose ``refuse``.
        """
        if inspect.iscoroutinefunction(create):
            raise TypeError("create would never be awaited here: use AsyncSubmissionGuard")
        digest = fingerprint(fields)
        token = self._door.enter(digest) if self._door else ""
        if token is None:
            with self._begin() as within:
                return link_of(within).run(finding(digest, self._around.now_ms()))
        try:
            return persist(lambda: self._make(digest, order_no, create))
        except BaseException:
            if self._door:
                self._door.leave(digest, token)
            raise

    def _make(self, digest: str, order_no: str, create: Callable[[T], object]) -> Submission:
        with self._begin() as within:
            submission = self._claim(within, digest, order_no)
            if submission.first:
                create(within)
            return submission

    def claim(self, within: T, fields: Mapping[str, Any], order_no: str) -> Submission:
        """The same in a transaction that the app has opened: when the answer is ``first``, make the order there. It is
        true once that is committed. No door is asked."""
        return self._claim(within, fingerprint(fields), order_no)

    def _claim(self, within: T, digest: str, order_no: str) -> Submission:
        return link_of(within).run(claiming(digest, order_no, self._around.now_ms(), self._window_ms))

    def prune(self) -> int:
        """Forget submissions whose window is over; how many. For a job at a quiet hour."""
        with self._begin() as within:
            return link_of(within).run(pruning(self._around.now_ms()))


class AsyncSubmissionGuard(Generic[T]):
    """``SubmissionGuard`` for asyncio."""

    def __init__(
        self,
        begin: AsyncBegin[T],
        *,
        window_s: float = WINDOW_S,
        door: AsyncDoor | None = None,
        around: Around = AROUND,
    ) -> None:
        _check_window(window_s, door)
        self._begin = begin
        self._window_ms = round(window_s * 1000)
        self._door = door
        self._around = around

    async def once(
        self, fields: Mapping[str, Any], order_no: str, create: Callable[[T], Awaitable[object]]
    ) -> Submission:
        """As ``SubmissionGuard.once``."""
        digest = fingerprint(fields)
        token = await self._door.enter(digest) if self._door else ""
        if token is None:
            async with self._begin() as within:
                return await async_link_of(within).run(finding(digest, self._around.now_ms()))
        try:
            return await persist_async(lambda: self._make(digest, order_no, create))
        except BaseException:
            if self._door:
                await self._door.leave(digest, token)
            raise

    async def _make(self, digest: str, order_no: str, create: Callable[[T], Awaitable[object]]) -> Submission:
        async with self._begin() as within:
            submission = await self._claim(within, digest, order_no)
            if submission.first:
                await create(within)
            return submission

    async def claim(self, within: T, fields: Mapping[str, Any], order_no: str) -> Submission:
        """As ``SubmissionGuard.claim``."""
        return await self._claim(within, fingerprint(fields), order_no)

    async def _claim(self, within: T, digest: str, order_no: str) -> Submission:
        script = claiming(digest, order_no, self._around.now_ms(), self._window_ms)
        return await async_link_of(within).run(script)

    async def prune(self) -> int:
        """As ``SubmissionGuard.prune``."""
        async with self._begin() as within:
            return await async_link_of(within).run(pruning(self._around.now_ms()))
