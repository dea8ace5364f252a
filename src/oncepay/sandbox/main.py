"""Starting the sandbox: in a process of its own, or inside another program.

As a process::

    python -m oncepay.sandbox --listen 127.0.0.1:8490 --home DIR     # or: oncepay sandbox ...

It writes ``DIR/sandbox.json`` (mode 0600) once it listens: ``base_url`` and, under ``wechat``,
everything an integration needs (mchid, appid, keys). Keys and orders in DIR outlive a restart.

In process (tests, demo, bench), on a free port, with time and dice of your own::

    async with Sandbox(clock=lambda: 1_800_000_000.0, seed=7) as sandbox:
        sandbox.base_url, sandbox.config["wechat"]["mchid"]
        sandbox.faults.replace({"once": [{"fault": "drop_after", "call": "prepay"}]})
        sandbox.switches.refund_delay_s = 0
        sandbox.pay("A1")                       # the payer pays; raises control.Refused
        sandbox.advance(15)                     # its clock; due timers run at once
        await sandbox.settle()                  # until the deliveries under way are answered
        sandbox.books("A1")[0].state

``await serve(host, port, home)`` runs until it is cancelled or told to stop. Over HTTP the same is
under ``/sandbox/...``: see ``oncepay.sandbox.control``; the faults: ``oncepay.sandbox.faults``.
"""

import argparse
import asyncio
import contextlib
import os
import random
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec
import uvloop

from oncepay.sandbox import server
from oncepay.sandbox.app import App
from oncepay.sandbox.clock import Clock, rfc3339
from oncepay.sandbox.control import Refused
from oncepay.sandbox.faults import Faults
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.wechat import orders, refunds
from oncepay.sandbox.wechat.api import Api
from oncepay.sandbox.wechat.books import Books, Row
from oncepay.sandbox.wechat.desk import Desk
from oncepay.sandbox.wechat.keys import KeyFile, Merchant, Ring, new_keys, new_merchant
from oncepay.sandbox.wechat.notify import Notifier

PORT: Final = 8490


class Sandbox:
    """The vendors on one address. Enter it to serve, leave it to stop.

    home: where keys, sandbox.json and the journal live; None keeps everything in memory.
    clock: the real time, epoch seconds; the sandbox's own is this plus what it was advanced.
    seed: makes nonces, numbers and fault rates repeatable; RSA keys are always fresh.
    keys: fixed keys instead of generated ones.
    public_url: how the outside reaches it, when that is not the listening address.
    """

    def __init__(
        self,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        home: Path | str | None = None,
        clock: Callable[[], float] = time.time,
        seed: int | None = None,
        keys: KeyFile | None = None,
        switches: Switches | None = None,
        public_url: str | None = None,
        journal: bool = True,
    ) -> None:
        self._host, self._port = host, port
        self._public_url = public_url
        self.home = None if home is None else Path(home)
        self.clock = Clock(clock)
        self.switches = Switches() if switches is None else switches
        dice = random.Random(seed)
        self.faults = Faults(random.Random(seed))
        if self.home is not None:
            self.home.mkdir(parents=True, exist_ok=True)
        kept = self.home / "orders.journal" if self.home is not None and journal else None
        self._journal = Journal(kept)
        self.keys = keys or self._kept_keys() or new_keys(dice, clock())
        ring = Ring(self.keys)
        books = Books(self.clock, self._journal)
        notifier = Notifier(
            ring, clock=self.clock, dice=dice, faults=self.faults, switches=self.switches, journal=self._journal
        )
        desk = Desk(ring, books, self.clock, dice, self.faults, self.switches, notifier, "")
        desk.keys_changed = self._write_home
        self.wechat = Api(desk)
        self._dice = dice
        self.app = App(self)
        self._server: server.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def base_url(self) -> str:
        return self.wechat.desk.base_url

    @property
    def config(self) -> dict[str, Any]:
        """What ``sandbox.json`` holds."""
        return {"base_url": self.base_url, "wechat": self._block(self.keys.merchants[0])}

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Listen, take up what an earlier process left, and write ``sandbox.json``."""
        listener = server.bind(self._host, self._port)
        self._port = listener.getsockname()[1]
        host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(self._host, self._host)  # noqa: S104
        self.wechat.desk.base_url = self._public_url or f"http://{host}:{self._port}"
        self._restore()
        self._write_home()
        self._server = server.server(self.app)
        self._serving = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0)

    async def stop(self) -> None:
        """Stop listening, end what is under way, close the journal."""
        if self._server is not None and self._serving is not None:
            self._server.end()
            await self._serving
        self.clock.stop()
        await self.wechat.desk.notifier.close()
        self._journal.close()

    def pay(self, key: str, openid: str | None = None) -> dict[str, Any]:
        """The payer pays the order of this number, code_url, h5_url or prepay_id.

        Raises Refused: order_absent, already_paid, closed, expired, credential_expired.
        """
        order = self.wechat.desk.books.find(key)
        if order is None:
            raise Refused(404, "order_absent", f"no order {key!r}")
        try:
            orders.pay(self.wechat.desk, order, openid)
        except orders.CannotPay as error:
            raise Refused(409, error.reason, str(error)) from None
        return {
            "number": order.number,
            "state": order.state,
            "amount": order.total,
            "transaction_id": order.transaction_id,
            "paid_at": rfc3339(order.paid or 0),
        }

    def books(self, number: str | None = None) -> list[Row]:
        """All orders, or the one of this number."""
        return list(self.wechat.desk.books.rows(number))

    def advance(self, seconds: float) -> int:
        """Move the sandbox's clock forward; what becomes due runs at once. How many timers ran."""
        fired = self.clock.advance(seconds)
        self._journal.note("sandbox", "offset_s", self.clock.offset_s)
        return fired

    async def settle(self) -> None:
        """Wait until every notification that is being delivered has been answered or timed out."""
        await self.wechat.desk.notifier.settle()

    def add_merchant(self, mchid: str | None = None) -> dict[str, Any]:
        """One more merchant; its block as in ``sandbox.json``."""
        if mchid is not None and (not mchid.isdecimal() or len(mchid) != 10):
            raise Refused(400, "mchid_invalid", "a mchid is 10 digits")
        if mchid in self.wechat.desk.ring.merchants:
            raise Refused(409, "mchid_taken", f"there is a merchant {mchid} already")
        merchant = new_merchant(self._dice, self.clock.now(), mchid)
        self.wechat.desk.ring.add(merchant)
        self._write_home()
        return self._block(merchant)

    def _block(self, merchant: Merchant) -> dict[str, Any]:
        ring = self.wechat.desk.ring
        return {
            "base_url": self.base_url,
            "mchid": merchant.mchid,
            "appid": merchant.appid,
            "merchant_serial_no": merchant.serial_no,
            "merchant_private_key_pem": merchant.private_key_pem,
            "merchant_certificate_pem": merchant.certificate_pem,
            "apiv3_key": merchant.apiv3_key,
            "platform_certificate_pem": self.keys.platforms[-1].certificate_pem,
            "platform_serial_no": ring.certificate_serial,
            "public_key_pem": ring.public_key_pem,
            "public_key_id": self.keys.public_key_id,
        }

    def _kept_keys(self) -> KeyFile | None:
        path = None if self.home is None else self.home / "keys.json"
        if path is None or not path.exists():
            return None
        return msgspec.json.decode(path.read_bytes(), type=KeyFile)

    def _write_home(self) -> None:
        if self.home is not None:
            _write_private(self.home / "keys.json", msgspec.json.encode(self.keys))
            text = msgspec.json.format(msgspec.json.encode(self.config), indent=2)
            _write_private(self.home / "sandbox.json", text + b"\n")

    def _restore(self) -> None:
        kept = self._journal.read()
        offset = kept.get("sandbox", {}).get("offset_s")
        if offset is not None:
            self.clock.offset_s = msgspec.json.decode(offset, type=float)
        desk = self.wechat.desk
        for order in desk.books.restore(kept.get("wechat.order", {})):
            for refund in order.refunds:
                if refund.status == "PROCESSING":
                    refunds.wait_for_outcome(desk, order, refund)
        desk.notifier.restore(kept.get("wechat.notice", {}))


def _write_private(path: Path, data: bytes) -> None:
    """Write a file only its owner may read, whole or not at all."""
    fresh = path.with_suffix(".new")
    handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(data)
    fresh.replace(path)


async def serve(
    listen_host: str = "127.0.0.1",
    listen_port: int = PORT,
    home: Path | str | None = None,
    *,
    ready: Callable[[Sandbox], None] | None = None,
    **options: Any,
) -> None:
    """Serve until SIGINT, SIGTERM or cancellation. ``options`` as for Sandbox."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, over.set)
    async with Sandbox(host=listen_host, port=listen_port, home=home, **options) as sandbox:
        if ready is not None:
            ready(sandbox)
        await over.wait()


def main(arguments: list[str] | None = None) -> None:
    """The command line of ``python -m oncepay.sandbox``."""
    parser = argparse.ArgumentParser("oncepay sandbox", description="WeChat Pay, played on loopback.")
    parser.add_argument("--listen", default=f"127.0.0.1:{PORT}", metavar="HOST:PORT")
    parser.add_argument("--home", default="sandbox", type=Path, help="keys, sandbox.json, orders")
    parser.add_argument("--seed", type=int, help="make fault rates repeatable")
    parser.add_argument("--public-url", help="how payers reach it, when not by --listen")
    parser.add_argument("--no-journal", action="store_true", help="forget orders at the end")
    asked = parser.parse_args(arguments)
    host, _, port = asked.listen.rpartition(":")
    if not host or not port.isdecimal():
        parser.error(f"--listen {asked.listen!r} is not HOST:PORT")

    def ready(sandbox: Sandbox) -> None:
        print(f"sandbox {sandbox.base_url}  settings {asked.home / 'sandbox.json'}", flush=True)  # noqa: T201

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(
            serve(
                host,
                int(port),
                asked.home,
                ready=ready,
                seed=asked.seed,
                public_url=asked.public_url,
                journal=not asked.no_journal,
            )
        )
