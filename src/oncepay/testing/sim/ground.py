"""What all worlds of a process share, made once: keys, channels, and a database in which apps, endpoints and accounts
are set up. A world begins with a copy."""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib.resources import files
from itertools import combinations, cycle
from pathlib import Path
from random import Random
from typing import Final, NamedTuple, cast

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from oncepay.assembly import assemble
from oncepay.channels import registry
from oncepay.config import Config
from oncepay.domain.errors import Invalid
from oncepay.domain.payment import Late, Unclosable
from oncepay.engine import admin
from oncepay.ports import Channel
from oncepay.sandbox import rsakeys
from oncepay.sandbox.main import Sandbox
from oncepay.sandbox.post import Post
from oncepay.sandbox.switches import Switches
from oncepay.store.open import open_ledger
from oncepay.store.statements import parse
from oncepay.testing.sim.broker import QUEUE_URL
from oncepay.testing.sim.patching import instead
from oncepay.testing.sim.process import CENTRE_URL, MASTER_KEY, START_MS, SimDice

SQL: Final = dict(parse(files("oncepay.testing.sim").joinpath("sim.sql").read_text("utf-8")))
SPARES: Final = 4
SANDBOX_URL: Final = "https://channels.test"
OTHER: Final = "other"  # an app that must never see anything of the shop's
PAYER: Final = {"openid": "oSIM-0000000000000000000000001", "client_ip": "203.0.113.7"}


class Credentials(NamedTuple):
    """What an app got when it was set up. ``queue``: the secret of its endpoint by a queue, "" if it has none."""

    key: str
    secret: str
    queue: str


class Ground(NamedTuple):
    """``database``: the bytes of a SQLite file. ``apps``: by id. ``ways``: channel and method, with what the method
    must know of the payer."""

    database: bytes
    apps: dict[str, Credentials]
    channels: dict[str, Channel]
    ways: tuple[tuple[str, str, dict[str, str]], ...]


def app_id(late: str, unclosable: str, *, queue: bool) -> str:
    """The app with these policies, and with a queue to hear by, or without."""
    return f"{late}-{unclosable}{'-queue' if queue else ''}"


def folder() -> str | None:
    """Where databases are made: in memory, where the machine has such a place."""
    return "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - a world's file has a random name


@cache
def _spares() -> tuple[RSAPrivateKey, ...]:
    """Keys for the vendors' next certificates. To make one takes as long as a whole world."""
    rsakeys.stranger()  # now, or it would be one of these, and what it forges be believed
    return tuple(rsakeys.new_key() for _ in range(SPARES))


@contextmanager
def spare_keys() -> Iterator[None]:
    """While it lasts, each new key of a vendor is the next of a few that were made before."""
    spares = cycle(_spares())
    with instead(rsakeys.new_key, lambda: next(spares)):
        yield


@cache
def _keys() -> dict[str, bytes]:
    """RSA keys are always of the system's dice: a trace does not depend on them."""
    made = Sandbox(clock=lambda: START_MS / 1000, seed=1)
    made.open(SANDBOX_URL)
    return made.kept_keys()


def new_sandbox(clock: Callable[[], float], seed: int, post: Callable[[], Post]) -> Sandbox:
    """The channels, always with the same merchants. ``clock``: seconds since 1970."""
    made = Sandbox(clock=clock, seed=seed, switches=Switches(), post=post, kept_keys=_keys())
    made.open(SANDBOX_URL)
    return made


class _Silent:
    """Carries nothing."""

    async def ask(self, url: str, headers: dict[str, str], body: bytes, answer_s: float) -> None:  # noqa: ARG002
        """No answer."""
        return

    def close(self) -> None:
        """There is nothing to let go of."""


class _Noon:
    """A clock that stands."""

    def now_ms(self) -> int:
        """Milliseconds since 1970."""
        return START_MS

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


def _silent() -> Post:
    return _Silent()


@cache
def ground() -> Ground:
    """Made at the first use; must not be called inside a running loop."""
    with tempfile.TemporaryDirectory(prefix="oncepay-ground-", dir=folder()) as home:
        path = Path(home) / "ground.db"
        apps = asyncio.run(_set_up(f"sqlite:///{path}?inline=true"))
        database = path.read_bytes()
    channels = {name: registry.channel(name) for name in registry.known()}
    ways = tuple(
        (name, method, _payer(channels[name], method))
        for name in sorted(channels)
        for method in sorted(channels[name].capabilities.methods)
    )
    return Ground(database, apps, channels, ways)


def _payer(channel: Channel, method: str) -> dict[str, str]:
    """As much of a payer as a method asks for, and nothing that it does not take. Raises LookupError."""
    for count in range(len(PAYER) + 1):
        for some in combinations(PAYER.items(), count):
            with suppress(Invalid):
                channel.check_start(method, dict(some), {})
                return dict(some)
    raise LookupError(f"{method} asks for more of a payer than is known here")


async def _set_up(url: str) -> dict[str, Credentials]:
    """What an operator does once."""
    dice = SimDice(Random(1))
    ledger = await open_ledger(url, token=dice.token)
    config = Config(public_url=CENTRE_URL, master_key=MASTER_KEY)
    centre = await assemble(config, clock=_Noon(), dice=dice, ledger=ledger)
    engine, apps = centre.engine, {}
    names = [(OTHER, "refund", "switch", False)]
    names += [
        (app_id(late, u, queue=queue), late, u, queue)
        for queue in (False, True)
        for late in ("refund", "accept")
        for u in ("switch", "wait")
    ]
    for name, late, unclosable, has_queue in names:
        app, key = await admin.create_app(engine, name, name)
        app = await admin.set_policies(engine, app, late=cast("Late", late), unclosable=cast("Unclosable", unclosable))
        _, secret = await admin.add_endpoint(engine, app, f"https://shop.example/{name}")
        queue = (await admin.add_endpoint(engine, app, f"{QUEUE_URL}{name}"))[1] if has_queue else ""
        apps[name] = Credentials(key, secret, queue)
    sandbox = new_sandbox(lambda: START_MS / 1000, 1, _silent)
    for name in sandbox.vendors:
        await admin.add_account(engine, name, name, **sandbox.config[name]["account"])
    await centre.stop(0)
    return apps
