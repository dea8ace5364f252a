"""What a state is: the payment as it is stored, the channel's books, what is on its way, and what may still happen."""

from __future__ import annotations

from functools import cache
from typing import Any, Final

import msgspec

from oncepay.domain.attempt import Call
from oncepay.domain.capabilities import DAY, MIN, Capabilities, H, Method, S
from oncepay.domain.change import Evidence, Input
from oncepay.domain.payment import Late, Unclosable

OWED: Final = 100
NOW_MS: Final = 1_800_000_000_000  # the time is always this: when it passes, everything that lies behind moves back
FAR_MS: Final = 20 * DAY  # two moments further apart than any timetable reaches are as good as this far apart

_CALLED: Final = {"m": Method(credential="qr")}
_WITHOUT_CALL: Final = {"m": Method(credential="url", made_by_call=False)}
_TOLD_ONCE: Final = {"m": Method(credential="qr", renewable=False)}
_CALL: Final = Capabilities(
    methods=_CALLED,
    currencies=frozenset({"CNY"}),
    query_at_ms=(10 * S,),
    again_at_ms=(10 * MIN,),
    again_closed_at_ms=(1 * MIN,),
    refund_query_at_ms=(2 * S, 1 * H, 2 * DAY, 9 * DAY),
    refund_retry_at_ms=(1 * H, 6 * H),
    refund_absent_margin_ms=30 * MIN,
)
# How a channel lets people pay. ``call``: its code comes by a call, and comes again when asked again. ``page``: made
# without asking the channel, which knows of it when a payer opens it. ``form``: the same at a channel that cannot
# close. ``once``: its code is told once. ``anew``: each call makes another code, and the one before is void.
# ``soft``: that it is closed has to be asked after.
WAYS: Final = {
    "call": _CALL,
    "page": msgspec.structs.replace(_CALL, methods=_WITHOUT_CALL),
    "form": msgspec.structs.replace(_CALL, methods=_WITHOUT_CALL, closes=False, again_at_ms=(1 * MIN, 1 * H)),
    "anew": msgspec.structs.replace(_CALL),
    "once": msgspec.structs.replace(_CALL, methods=_TOLD_ONCE),
    "soft": msgspec.structs.replace(_CALL, close_final=False),
}
CONSOLE: Final = "console"  # how the numbers of refunds begin that were made there
CHANNELS: Final = ("x", "y", "z")  # of the first, second and third attempt


class Small(msgspec.Struct, frozen=True, kw_only=True):
    """A small world. ``may``: what may happen, each as often as it stands there; the words are explained in ``moves``
    and ``channel``. ``ways``: how each attempt lets the payer pay, the first starts by itself."""

    may: tuple[str, ...]
    ways: tuple[str, ...] = ("call", "call")
    late: Late = "refund"
    unclosable: Unclosable = "switch"
    states_max: int = 4_000_000

    def policy(self) -> dict[str, Capabilities]:
        """What each attempt's channel can do."""
        return {channel: WAYS[way] for channel, way in zip(CHANNELS, self.ways, strict=False)}


class Flight(msgspec.Struct, frozen=True, gc=False):
    """A call whose intent is committed: towards the channel, or with its answer on the way back. ``stray``: whoever
    made it stands still, so time goes on without it. ``call_no``: which of its number's paying calls, as the engine has
    it; ``asked_ms``: when it began, where that is looked at."""

    call: Call
    number: str
    answer: Evidence | None = None
    stray: bool = False
    call_no: int = 0
    asked_ms: int = 0


class Reader(msgspec.Struct, frozen=True, gc=False):
    """A process that has read payment ``pid`` and stands still before it commits what it makes of ``asked``.
    ``fresh``: nothing has changed since, so the guard will let it pass."""

    pid: int
    asked: Input
    fresh: bool = True


class Books(msgspec.Struct, frozen=True, gc=False):
    """What the channel knows. ``orders``: number -> unpaid, paid, closed. ``backs``: number, of, minor, and whether it
    is accepted, done, or closed (it never went). ``codes``: number -> which of its calls made the code that is good,
    where each makes another."""

    orders: tuple[tuple[str, str], ...] = ()
    backs: tuple[tuple[str, str, int, str], ...] = ()
    codes: tuple[tuple[str, int], ...] = ()

    def order(self, number: str) -> str:
        """absent, unpaid, paid or closed."""
        for known, state in self.orders:
            if known == number:
                return state
        return "absent"

    def put(self, number: str, state: str) -> Books:
        """With the order in that state."""
        return Books(tuple(sorted({**dict(self.orders), number: state}.items())), self.backs, self.codes)

    def coded(self, number: str, call_no: int) -> Books:
        """With the code that this call made; those of others are void."""
        return Books(self.orders, self.backs, tuple(sorted({**dict(self.codes), number: call_no}.items())))

    def back(self, number: str) -> tuple[str, str, int, str] | None:
        """What is known of a refund's number."""
        return next((back for back in self.backs if back[0] == number), None)

    def went_back(self, of: str) -> int:
        """Minor units that went back, or are on their way, of an order."""
        return sum(minor for _, reversed_, minor, how in self.backs if reversed_ == of and how != "closed")

    def put_back(self, number: str, of: str, minor: int, how: str) -> Books:
        """With the refund in that state."""
        others = [back for back in self.backs if back[0] != number]
        return Books(self.orders, tuple(sorted([*others, (number, of, minor, how)])), self.codes)


class Rest(msgspec.Struct, frozen=True, gc=False):
    """All of a state but the payment. Payers, processes and messages that are alike are counted, not named."""

    may: tuple[str, ...]  # sorted
    books: Books = Books()
    told: tuple[str, ...] = ()  # numbers with a notification on its way, sorted
    flights: tuple[Flight, ...] = ()
    reader: Reader | None = None


def replace(rest: Rest, **fields: Any) -> Rest:
    """With other fields."""
    return msgspec.structs.replace(rest, **fields)


def code(call_no: int) -> str:
    """The credential that a call makes."""
    return f'{{"made_by_call":{call_no}}}'


@cache
def less(may: tuple[str, ...], word: str) -> tuple[str, ...]:
    """Once less of it."""
    index = may.index(word)
    return may[:index] + may[index + 1 :]
