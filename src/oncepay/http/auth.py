"""Who calls: bearer keys, looked up by their hash."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from oncepay.domain.errors import OncepayError, Unauthorized
from oncepay.engine.core import Engine, log
from oncepay.ports import App

USED_GAP_MS: Final = 60_000  # a key's last use is noted to the minute
KEY_MAX: Final = 256
NOBODY: Final = App(id="", name="")  # who calls where no key is asked for: an app that owns nothing


class Doorkeeper:
    """Admits apps by their keys and notes when a key was last used."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._used: dict[str, int] = {}

    def admit(self, headers: Mapping[bytes, bytes]) -> App:
        """The app whose key this is. Raises Unauthorized."""
        given = headers.get(b"authorization")
        if given is None:
            raise Unauthorized("the request has no Authorization header")
        scheme, _, key = given.decode("latin-1").partition(" ")
        if scheme.lower() != "bearer" or not 0 < len(key) <= KEY_MAX:
            raise Unauthorized("the Authorization header must be: Bearer <key>")
        found = self._engine.directory.app_of_key(key)
        if found is None:
            raise Unauthorized("the key is not one of ours, or is no longer valid")
        app, row = found
        now_ms = self._engine.clock.now_ms()
        if now_ms - self._used.get(row.hash, row.used_ms) >= USED_GAP_MS:
            self._used[row.hash] = now_ms
            task = asyncio.get_running_loop().create_task(self._note(row.hash, now_ms))
            self._engine.background.add(task)
            task.add_done_callback(self._engine.background.discard)
        return app

    async def _note(self, hash_: str, now_ms: int) -> None:
        try:
            await self._engine.ledger.used_key(hash_, now_ms)
        except OncepayError as error:  # the next use notes it again
            self._used.pop(hash_, None)
            log.warning("key.unnoted why=%s", error.detail)
