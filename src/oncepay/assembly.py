"""The roof: the only place that reads clock and dice and names the concrete parts of the house."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from collections.abc import Mapping

import msgspec
from starlette.applications import Starlette

from oncepay.channels import registry
from oncepay.config import Config, ConfigInvalid, read_master_key
from oncepay.domain.texts import shown
from oncepay.engine import workers
from oncepay.engine.core import Engine, Settings
from oncepay.engine.deliver import Deliverer
from oncepay.engine.directory import Directory
from oncepay.engine.vault import Vault
from oncepay.http.app import make_app
from oncepay.ports import Channel, Clock, Dice, Ledger, Limits, Publisher, Transport, Wake
from oncepay.publishers.roads import Roads, read_target
from oncepay.publishers.webhook import WebhookPublisher
from oncepay.store.open import open_ledger, wake_of
from oncepay.transport import HttpTransport


class SystemClock:
    """The machine's clock."""

    def now_ms(self) -> int:
        """Milliseconds since 1970, UTC."""
        return time.time_ns() // 1_000_000

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        await asyncio.sleep(seconds)


class SystemDice:
    """The machine's chance: unguessable tokens, cheap jitter."""

    def token(self) -> str:
        """32 hex digits, 128 bits."""
        return os.urandom(16).hex()

    def draw(self) -> float:
        """In [0, 1)."""
        return random.random()  # noqa: S311 - jitter


class Centre:
    """A payment centre, put together: ``app`` answers HTTP; ``start`` and ``stop`` its loops."""

    def __init__(self, engine: Engine, deliverer: Deliverer, publisher: Publisher, app: Starlette) -> None:
        self.engine = engine
        self.deliverer = deliverer
        self.app = app
        self._publisher = publisher
        self._places = workers.Places()
        self._tasks: list[asyncio.Task[None]] = []

    def start(self, *, work: bool = True) -> None:
        """Start the loops: with ``work``, also those that bring payments and deliveries on."""
        if work:
            self.engine.hand_over = self.deliverer.hand_over
            self._tasks = workers.start(self.engine, self.deliverer, self._places)
        else:
            self._tasks = workers.start_watching(self.engine)

    async def stop(self, seconds: float = 3.0) -> None:
        """Stop the loops, let what is under way finish for a moment, let go of everything. What is left is due."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._places.finish(seconds)
        await self.deliverer.finish(seconds)
        for task in list(self.engine.background):
            task.cancel()
        await self._publisher.close()
        await self.engine.transport.close()
        await self.engine.waking.close()
        await self.engine.ceiling.close()
        await self.engine.ledger.close()


async def assemble(
    config: Config,
    *,
    clock: Clock | None = None,
    dice: Dice | None = None,
    ledger: Ledger | None = None,
    transport: Transport | None = None,
    publisher: Publisher | None = None,
    channels: Mapping[str, Channel] | None = None,
    migrate: bool = True,
) -> Centre:
    """Put a centre together on its database, ready to ``start``. Raises ConfigInvalid, Unavailable, and what the
    store refuses to start on."""
    dice = dice or SystemDice()
    vault = Vault(read_master_key(config), dice.token)
    ledger = ledger or await open_ledger(config.database_url, token=dice.token, migrate=migrate)
    try:
        directory = Directory(ledger, vault)
        await directory.refresh()
        publisher = publisher or Roads(
            WebhookPublisher(timeout_s=config.webhook_timeout_s), timeout_s=config.webhook_timeout_s
        )
        wake, limits = _shared(config, ledger, dice)
        engine = Engine(
            ledger=ledger,
            channels=channels or {name: registry.channel(name) for name in registry.known()},
            transport=transport or HttpTransport(),
            directory=directory,
            clock=clock or SystemClock(),
            dice=dice,
            settings=Settings(
                public_url=config.url,
                lease_ms=int(config.lease_s * 1000),
                raw_days=config.raw_days,
                start_budget_ms=int(config.start_budget_s * 1000),
                fresh_gap_ms=int(config.fresh_gap_s * 1000),
                calls_per_s=config.calls_per_s,
            ),
            read_target=read_target,
            wake=wake,
            limits=limits,
        )
        deliverer = Deliverer(engine, publisher)
        return Centre(engine, deliverer, publisher, make_app(engine))
    except BaseException:
        await ledger.close()
        raise


def _shared(config: Config, ledger: Ledger, dice: Dice) -> tuple[Wake | None, Limits | None]:
    """What this process shares with others. A Redis passes wake-ups on where there is one, else the database if it
    can; nothing connects before it is used. Raises ConfigInvalid."""
    if not config.redis_url:
        return wake_of(config.database_url), None
    try:
        from oncepay.shared.limits import RedisLimits
        from oncepay.shared.wake import RedisWake
    except ModuleNotFoundError:
        raise ConfigInvalid(
            "ONCEPAY_REDIS_URL is set, and redis is not installed: pip install 'oncepay[redis]'"
        ) from None
    try:
        wake = RedisWake(config.redis_url, installation=ledger.installation, me=dice.token())
        return wake, RedisLimits(config.redis_url, installation=ledger.installation)
    except ValueError as error:
        raise ConfigInvalid(f"ONCEPAY_REDIS_URL: {error}") from None


class TextLines(logging.Formatter):
    """One line a message, for people: nothing that an app or a channel wrote begins a line that looks like ours."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        """As the base has it, of words only."""
        record.message = shown(record.message)
        return super().formatMessage(record)


class JsonLines(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """``at_ms``, ``level``, ``text``, and the exception if there is one."""
        line: dict[str, object] = {
            "at_ms": int(record.created * 1000),
            "level": record.levelname,
            "text": record.getMessage(),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line).decode()


def set_up_logging(config: Config) -> None:
    """Log lines to standard error: ids and words only, never bodies."""
    handler = logging.StreamHandler()
    text = TextLines("%(asctime)s %(levelname)s %(message)s")
    handler.setFormatter(JsonLines() if config.log_json else text)
    logging.basicConfig(level=config.log_level, handlers=[handler], force=True)
