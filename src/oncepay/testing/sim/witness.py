"""Somebody who asks the centre's API what is written at this very moment, and lets no time pass by asking.

The app asks over a road that takes its time, and meanwhile what was only remembered may have been written. The witness
has a process of the centre to itself, which does nothing but answer: it shows what anybody would find if all others
died now.
"""

from __future__ import annotations

from collections.abc import Coroutine
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import msgspec

from oncepay.assembly import assemble
from oncepay.config import Config
from oncepay.ports import Request
from oncepay.store.sqlite import open_sqlite
from oncepay.testing.sim.process import CENTRE_URL, MASTER_KEY, SimDice
from oncepay.testing.sim.roads import Asked

if TYPE_CHECKING:
    from oncepay.testing.sim.world import World

T = TypeVar("T")


class Witness:
    """Of one world, from its beginning on."""

    def __init__(self, world: World) -> None:
        self._ground = world.ground
        dice = SimDice(Random(1))
        self._ledger = at_once(open_sqlite(world.disk.url, token=dice.token, migrate=False))
        centre = assemble(
            Config(public_url=CENTRE_URL, master_key=MASTER_KEY),
            clock=_Before(),
            dice=dice,
            ledger=self._ledger,
            transport=_Nowhere(),
            channels=world.ground.channels,
        )
        self._app = at_once(centre).app

    def attempts(self, payment_id: str, app: str) -> dict[str, str]:
        """How each attempt of a payment stands, by its number; nothing when there is no such payment."""
        headers = [(b"authorization", b"Bearer " + self._ground.apps[app].key.encode())]
        asked = Asked("GET", f"/v1/payments/pay_{payment_id}", b"", headers, b"")
        said: list[Any] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(message: Any) -> None:
            said.append(message)

        at_once(self._app(asked.scope(), receive, send))
        if said[0]["status"] != 200:
            return {}
        shown = msgspec.json.decode(b"".join(message.get("body", b"") for message in said))
        return {attempt["id"].removeprefix("att_"): attempt["status"] for attempt in shown["attempts"]}

    def close(self) -> None:
        """Let go of the database."""
        self._ledger.abandon()


def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What comes of something that waits for nothing. Raises RuntimeError when it does wait."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    coroutine.close()
    raise RuntimeError("the witness had to wait")


class _Before:
    """A clock that stands before any use of any key, so that nothing is ever written down about it."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return 0

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


class _Nowhere:
    """There is no way to a channel."""

    async def send(self, request: Request, deadline_s: float) -> NoReturn:
        """Must not happen."""
        message = f"the witness called {request.url} and would have waited {deadline_s} s"
        raise AssertionError(message)

    async def close(self) -> None:
        """There are no connections."""
