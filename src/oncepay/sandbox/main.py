"""Starting the sandbox: in a process of its own, or inside another program.

As a process::

    python -m oncepay.sandbox --listen 127.0.0.1:8490 --home DIR     # or: oncepay sandbox ...

It writes ``DIR/sandbox.json`` (mode 0600) once it listens: ``base_url`` and, under each vendor's name,
everything an integration needs (identity, keys). Keys and orders in DIR outlive a restart.

In process (tests, demo, bench), on a free port, with time and dice of your own::

    async with Sandbox(clock=lambda: 1_800_000_000.0, seed=7) as sandbox:
        sandbox.base_url, sandbox.config["wechat"]["mchid"]
        sandbox.faults.replace({"once": [{"fault": "drop_after", "call": "prepay"}]})
        sandbox.switches.refund_delay_s = 0
        sandbox.pay("A1")                       # the payer pays; raises Refused
        sandbox.advance(15)                     # its clock; due timers run at once
        await sandbox.settle()                  # until the deliveries under way are answered
        sandbox.books("A1")[0].state

``await serve(host, port, home)`` runs until it is cancelled or told to stop. Over HTTP the same is
under ``/sandbox/...``: see ``oncepay.sandbox.control``; the faults: ``oncepay.sandbox.faults``; what a
vendor is: ``oncepay.sandbox.vendor``.
"""

import argparse
import asyncio
import contextlib
import fcntl
import os
import random
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import msgspec
import uvloop

from oncepay.sandbox import server
from oncepay.sandbox.alipay import keys as alipay
from oncepay.sandbox.alipay.vendor import Alipay
from oncepay.sandbox.app import App
from oncepay.sandbox.clock import Clock
from oncepay.sandbox.faults import Faults
from oncepay.sandbox.journal import Journal
from oncepay.sandbox.post import Post, Poster
from oncepay.sandbox.switches import Switches
from oncepay.sandbox.unionpay import keys as unionpay
from oncepay.sandbox.unionpay.vendor import UnionPay
from oncepay.sandbox.vendor import Ground, Refused, Row, Vendor
from oncepay.sandbox.wechat.keys import KeyFile
from oncepay.sandbox.wechat.vendor import WechatPay

Keys = TypeVar("Keys", bound=msgspec.Struct)

PORT: Final = 8490


class Sandbox:
    """The vendors on one address. Enter it to serve, leave it to stop.

    home: where keys, sandbox.json and the journal live; None keeps everything in memory.
    clock: the real time, epoch seconds; the sandbox's own is this plus what it was advanced.
    seed: makes nonces, numbers and fault rates repeatable; RSA keys are always fresh.
    keys, alipay_keys, unionpay_keys: WeChat Pay's, Alipay's and UnionPay's keys, fixed instead of generated.
    public_url: how the outside reaches it, when that is not the listening address.
    post: makes what carries a vendor's notifications, instead of connections.
    kept_keys: all vendors' keys, as another sandbox's ``kept_keys()`` gave them.
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
        alipay_keys: alipay.KeyFile | None = None,
        unionpay_keys: unionpay.KeyFile | None = None,
        switches: Switches | None = None,
        public_url: str | None = None,
        journal: bool = True,
        post: Callable[[], Post] = Poster,
        kept_keys: Mapping[str, bytes] | None = None,
    ) -> None:
        self._host, self._port = host, port
        self._public_url = public_url
        self.home = None if home is None else Path(home)
        self.clock = Clock(clock)
        self.switches = Switches() if switches is None else switches
        self._seed = seed
        self._post = post
        self._made_of = kept_keys or {}
        self.faults = Faults(random.Random(seed))
        if self.home is not None:
            self.home.mkdir(parents=True, exist_ok=True)
        kept = self.home / "orders.journal" if self.home is not None and journal else None
        self._journal = Journal(kept)
        self.base_url = ""
        self.wechat = WechatPay(self._ground("wechat"), keys or self._kept_keys("wechat", KeyFile))
        self.alipay = Alipay(self._ground("alipay"), alipay_keys or self._kept_keys("alipay", alipay.KeyFile))
        signers = unionpay_keys or self._kept_keys("unionpay", unionpay.KeyFile)
        self.unionpay = UnionPay(self._ground("unionpay"), signers)
        vendors: tuple[Vendor, ...] = (self.wechat, self.alipay, self.unionpay)
        self.vendors = {vendor.name: vendor for vendor in vendors}
        self.app = App(self)
        self._held: int | None = None
        self._server: server.Server | None = None
        self._serving: asyncio.Task[None] | None = None

    @property
    def config(self) -> Mapping[str, Any]:
        """What ``sandbox.json`` holds."""
        return Config(self)

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
        try:
            self._held = None if self.home is None else _hold(self.home)
        except OSError:
            listener.close()
            raise
        self.open(self._public_url or url_of(self._host, self._port))
        self._server = server.server(self.app)
        self._serving = asyncio.create_task(self._server.serve([listener]))
        while not self._server.started:
            if self._serving.done():
                self._serving.result()
            await asyncio.sleep(0)

    def open(self, base_url: str) -> None:
        """What ``start`` does besides listening. Whoever needs no more hands requests to ``app.reply`` itself."""
        self.base_url = base_url
        self._restore()
        self._write_home()

    async def stop(self) -> None:
        """Stop listening, end what is under way, close the journal."""
        if self._server is not None and self._serving is not None:
            self._server.end()
            await self._serving
        self.clock.stop()
        for vendor in self.vendors.values():
            await vendor.close()
        self._journal.close()
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def pay(self, key: str, payer: str | None = None, channel: str | None = None) -> dict[str, Any]:
        """The payer pays the order of this number, or of what else its vendor hands out (code_url, prepay_id, ...).

        Raises Refused: order_absent, and what the vendor says (already_paid, closed, expired, ...).
        """
        wanted = {"number": key, "channel": channel}
        return self.pay_for(wanted if payer is None else {**wanted, "payer": payer})

    def pay_for(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """As ``pay``, with the members of a ``/sandbox/pay`` request."""
        vendors = self.asked(wanted.get("channel"))
        keys = [key for vendor in vendors for key in vendor.pay_keys]
        for vendor in vendors:
            told = vendor.pay(wanted)
            if told is not None:
                return told
        named = next((wanted[key] for key in keys if key in wanted), None)
        if named is None:
            raise Refused(400, "number_missing", f"say which order by one of {', '.join(dict.fromkeys(keys))}")
        raise Refused(404, "order_absent", f"no order {named!r}")

    def refund(self, number: str, fen: int, channel: str | None = None) -> dict[str, Any]:
        """The merchant refunds so much in the vendor's console, without any call of ours.

        Raises Refused: order_absent, not_paid, refund_invalid.
        """
        for vendor in self.asked(channel):
            told = vendor.refund(number, fen)
            if told is not None:
                return told
        raise Refused(404, "order_absent", f"no order {number!r}")

    def send_elsewhere(self, number: str, channel: str | None = None) -> dict[str, Any]:
        """A person sends a refund whose card is gone to another card, in the vendor's console.

        Raises Refused: refund_absent, not_stuck.
        """
        for vendor in self.asked(channel):
            told = vendor.send_elsewhere(number)
            if told is not None:
                return told
        raise Refused(404, "refund_absent", f"no refund {number!r}")

    def books(self, number: str | None = None, since: float | None = None) -> list[Row]:
        """All orders, oldest first, or the ones of this number, or what changed at ``since`` or later."""
        rows = [row for vendor in self.vendors.values() for row in vendor.rows(number, since)]
        return sorted(rows, key=lambda row: row.created)

    def asked(self, channel: Any) -> list[Vendor]:
        """The vendor of this name, or all of them."""
        if channel is None:
            return list(self.vendors.values())
        if channel not in self.vendors:
            raise Refused(404, "channel_absent", f"no channel {channel!r}; there are {', '.join(self.vendors)}")
        return [self.vendors[channel]]

    def advance(self, seconds: float) -> int:
        """Move the sandbox's clock forward; what becomes due runs at once. How many timers ran."""
        fired = self.clock.advance(seconds)
        self._journal.note("sandbox", "offset_s", self.clock.offset_s)
        return fired

    async def settle(self) -> None:
        """Wait until every notification that is being delivered has been answered or timed out."""
        for vendor in self.vendors.values():
            await vendor.settle()

    def add_merchant(self, merchant: str | None = None, channel: str = "wechat") -> dict[str, Any]:
        """One more merchant; its block as in ``sandbox.json``."""
        [vendor] = self.asked(channel)
        return vendor.add_merchant(merchant)

    def kept_keys(self) -> dict[str, bytes]:
        """All keys, for another sandbox to be of the same vendors and merchants."""
        return {name: msgspec.json.encode(vendor.keys()) for name, vendor in self.vendors.items()}

    def _ground(self, name: str) -> Ground:
        return Ground(
            clock=self.clock,
            dice=random.Random(self._seed),
            faults=self.faults.at(name),
            switches=self.switches,
            journal=self._journal,
            keys_changed=self._write_home,
            post=self._post,
        )

    def _kept_keys(self, name: str, of: type[Keys]) -> Keys | None:
        if name in self._made_of:
            return msgspec.json.decode(self._made_of[name], type=of)
        path = None if self.home is None else self.home / "keys.json"
        if path is None or not path.exists():
            return None
        kept = msgspec.json.decode(path.read_bytes(), type=dict[str, msgspec.Raw])
        return msgspec.json.decode(kept[name], type=of) if name in kept else None

    def _write_home(self) -> None:
        if self.home is not None:
            keys = {name: vendor.keys() for name, vendor in self.vendors.items()}
            _write_private(self.home / "keys.json", msgspec.json.encode(keys))
            text = msgspec.json.format(msgspec.json.encode(dict(self.config)), indent=2)
            _write_private(self.home / "sandbox.json", text + b"\n")

    def _restore(self) -> None:
        kept = self._journal.read()
        offset = kept.get("sandbox", {}).get("offset_s")
        if offset is not None:
            self.clock.offset_s = msgspec.json.decode(offset, type=float)
        for vendor in self.vendors.values():
            vendor.open(self.base_url, kept)


class Config(Mapping[str, Any]):
    """``sandbox.json`` as a mapping. A vendor's block is made when it is asked for: keys cost a moment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    def __getitem__(self, name: str) -> Any:
        return self._sandbox.base_url if name == "base_url" else self._sandbox.vendors[name].block()

    def __iter__(self) -> Iterator[str]:
        return iter(("base_url", *self._sandbox.vendors))

    def __len__(self) -> int:
        return 1 + len(self._sandbox.vendors)


def _hold(home: Path) -> int:
    """Keep a folder for this process: a second one would write a journal of its own over the first one's. The kernel
    lets go of it when the process ends, however it ends. Raises BlockingIOError."""
    folder = os.open(home, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(folder)
        raise BlockingIOError(error.errno, "another sandbox works in this folder", str(home)) from None
    return folder


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
    alive_fd: int | None = None,
    **options: Any,
) -> None:
    """Serve until SIGINT, SIGTERM, cancellation, or the end of the pipe ``alive_fd``. ``options`` as for Sandbox."""
    loop, over = asyncio.get_running_loop(), asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(ValueError, RuntimeError):
            loop.add_signal_handler(number, over.set)
    if alive_fd is not None:
        loop.add_reader(alive_fd, over.set)
    async with Sandbox(host=listen_host, port=listen_port, home=home, **options) as sandbox:
        if ready is not None:
            ready(sandbox)
        await over.wait()


def place_of(listen: str) -> tuple[str, int]:
    """``host:port``, also ``[::1]:port``. Raises ValueError."""
    host, _, port = listen.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isascii() or not port.isdecimal() or int(port) > 65_535:
        raise ValueError(f"{listen!r} is not HOST:PORT")
    return host, int(port)


def url_of(host: str, port: int) -> str:
    """How to reach what listens there from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def main(arguments: list[str] | None = None) -> None:
    """The command line of ``python -m oncepay.sandbox``."""
    parser = argparse.ArgumentParser(
        "oncepay sandbox", description="WeChat Pay, Alipay and UnionPay, played on loopback."
    )
    parser.add_argument("--listen", default=f"127.0.0.1:{PORT}", metavar="HOST:PORT")
    parser.add_argument("--home", default="sandbox", type=Path, help="keys, sandbox.json, orders")
    parser.add_argument("--seed", type=int, help="make fault rates repeatable")
    parser.add_argument("--public-url", help="how payers reach it, when not by --listen")
    parser.add_argument("--no-journal", action="store_true", help="forget orders at the end")
    parser.add_argument("--alive-fd", type=int, help=argparse.SUPPRESS)  # a pipe that closes when a parent has died
    asked = parser.parse_args(arguments)
    try:
        host, port = place_of(asked.listen)
    except ValueError as error:
        parser.error(f"--listen {error}")

    def ready(sandbox: Sandbox) -> None:
        print(f"sandbox {sandbox.base_url}  settings {asked.home / 'sandbox.json'}", flush=True)  # noqa: T201

    with contextlib.suppress(KeyboardInterrupt):
        uvloop.run(
            serve(
                host,
                port,
                asked.home,
                ready=ready,
                alive_fd=asked.alive_fd,
                seed=asked.seed,
                public_url=asked.public_url,
                journal=not asked.no_journal,
            )
        )
