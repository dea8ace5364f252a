"""Real processes for storms: sandbox, centre, PostgreSQL; a shop and the apps' side in the test's own process, with
books of their own. The books are compared at the end: the channel's, the API's, the shop's."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any, Final

import aiohttp
from aiohttp import web

from oncepay.assembly import assemble
from oncepay.config import Config
from oncepay.engine import admin
from oncepay.testing.ports import free_port

MINOR: Final = 8800
PATIENCE_S: Final = 120.0


class Town:
    """One installation under load. Processes are killed by the ids that were started here, never by name."""

    def __init__(self, home: Path, database_url: str, serve: tuple[str, ...] = ()) -> None:
        self.home = home
        self.sandbox_url = f"http://127.0.0.1:{free_port()}"
        self.url = f"http://127.0.0.1:{free_port()}"
        self._serve = serve
        self.settings = {
            "ONCEPAY_DATABASE_URL": database_url,
            "ONCEPAY_PUBLIC_URL": self.url,
            "ONCEPAY_MASTER_KEY": base64.b64encode(b"k" * 32).decode(),
            "ONCEPAY_LOG_LEVEL": "WARNING",
        }
        self.key = ""
        self.centre: subprocess.Popen[bytes] | None = None
        self.sandbox: subprocess.Popen[bytes] | None = None
        self.books: dict[str, dict[str, Any]] = {}  # the shop's: order -> newest snapshot
        self.versions: dict[str, set[int]] = {}
        self.created: dict[str, dict[str, Any]] = {}  # what the API acknowledged

    def _start(self, *arguments: str) -> subprocess.Popen[bytes]:
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ONCEPAY_")}
        with (self.home / f"{arguments[0]}.log").open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "oncepay", *arguments], stdout=log, stderr=log, env={**environ, **self.settings}
            )

    async def open(self, *, notify: bool = True) -> None:
        """Start the shop, the sandbox and the centre, set up an app and an account."""
        await self._open_shop()
        listen = self.sandbox_url.removeprefix("http://")
        self.sandbox = self._start("sandbox", "--listen", listen, "--home", str(self.home / "sandbox"), "--no-journal")
        await self._answers(f"{self.sandbox_url}/sandbox/clock")
        await self._set_up()
        if not notify:
            call("PUT", f"{self.sandbox_url}/sandbox/faults", {"on": {"notify_none": True}})
        self.start_centre()
        await self._answers(f"{self.url}/readyz")

    def start_centre(self) -> None:
        """Start the centre, again if it was killed."""
        self.centre = self._start("serve", "--listen", self.url.removeprefix("http://"), *self._serve)

    def kill_centre(self) -> None:
        """As a power cut would: nothing is finished."""
        assert self.centre is not None
        self.centre.send_signal(signal.SIGKILL)
        self.centre.wait()

    async def _answers(self, url: str) -> None:
        end = time.monotonic() + PATIENCE_S
        while True:
            try:
                call("GET", url)
            except (OSError, ValueError):
                assert time.monotonic() < end, f"no answer: {url}"
                await asyncio.sleep(0.05)
            else:
                return

    async def _open_shop(self) -> None:
        app = web.Application()
        app.router.add_post("/hook", self._hear)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.hook = f"http://127.0.0.1:{self._runner.addresses[0][1]}/hook"

    async def _hear(self, request: web.Request) -> web.Response:
        data = (await request.json())["data"]
        order_no = data["order_no"]
        self.versions.setdefault(order_no, set()).add(data["version"])
        if self.books.get(order_no, {"version": 0})["version"] < data["version"]:
            self.books[order_no] = data
        return web.Response(status=204)

    async def _set_up(self) -> None:
        keys = json.loads((self.home / "sandbox" / "sandbox.json").read_text())["wechat"]
        centre = await assemble(
            Config(
                database_url=self.settings["ONCEPAY_DATABASE_URL"],
                public_url=self.url,
                master_key=self.settings["ONCEPAY_MASTER_KEY"],
            )
        )
        app, self.key = await admin.create_app(centre.engine, "shop", "")
        app = await admin.set_policies(centre.engine, app, private_networks=("127.0.0.0/8",))
        await admin.add_endpoint(centre.engine, app, self.hook)
        await admin.add_account(centre.engine, "wx", "wechat", **keys["account"])
        await centre.stop()

    async def buyer(self, session: aiohttp.ClientSession, order_no: str) -> None:
        """Creates the order, again and again until it is acknowledged with a code; then the payer pays it."""
        body = {
            "order_no": order_no,
            "amount": {"minor": MINOR, "currency": "CNY"},
            "subject": "Tea",
            "deadline_ms": int(time.time() * 1000) + 3_600_000,
            "attempt": {"channel": "wechat", "method": "native"},
        }
        end = time.monotonic() + PATIENCE_S
        seen: Any = None
        while time.monotonic() < end:
            try:
                async with session.post(f"{self.url}/v1/payments", json=body) as answer:
                    seen = await answer.json(content_type=None)
                    assert answer.status in {200, 201, 202, 409, 503}, seen
                    if answer.status in {200, 201} and seen["attempt"]["credential"]:
                        break
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.1)
        else:
            raise AssertionError(f"{order_no} was never acknowledged")
        self.created[order_no] = seen
        number = seen["attempt"]["id"].removeprefix("att_")
        async with session.post(f"{self.sandbox_url}/sandbox/pay", json={"number": number}) as answer:
            assert answer.status == 200, await answer.text()

    async def told(self, orders: list[str]) -> None:
        """Until the shop has heard of each that it is paid."""
        end = time.monotonic() + PATIENCE_S
        while missing := [o for o in orders if self.books.get(o, {}).get("status") != "paid"]:
            assert time.monotonic() < end, f"{len(missing)} never told, e.g. {missing[:3]}"
            await asyncio.sleep(0.05)

    def agree(self, orders: list[str]) -> None:
        """The channel's books, the API and the shop's books agree to the fen, and each order is paid once."""
        rows = {row["number"]: row for row in call("GET", f"{self.sandbox_url}/sandbox/books")["orders"]}
        for order_no in orders:
            found = call("GET", f"{self.url}/v1/payments?order_no={order_no}", key=self.key)["data"]
            assert len(found) == 1
            payment = found[0]
            numbers = [number for number in rows if number.startswith(payment["id"].removeprefix("pay_"))]
            assert len(numbers) == 1, f"{order_no} has {len(numbers)} orders at the channel"
            kept = sum(rows[number]["paid"] - rows[number]["refunded"] for number in numbers)
            assert (kept, payment["kept_minor"], payment["status"]) == (MINOR, MINOR, "paid")
            assert self.books[order_no]["kept_minor"] == MINOR
            assert self.books[order_no]["version"] == payment["version"]
            assert self.versions[order_no] == set(range(1, payment["version"] + 1)), "versions without gaps"

    async def close(self) -> None:
        """Stop all that was started here."""
        for process in (self.centre, self.sandbox):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(60)
        await self._runner.cleanup()


def call(method: str, url: str, body: Any = None, *, key: str = "") -> Any:
    """One HTTP call; the JSON of the answer. Raises OSError, ValueError."""
    request = urllib.request.Request(url, method=method)
    request.add_header("Content-Type", "application/json")
    if key:
        request.add_header("Authorization", f"Bearer {key}")
    data = None if body is None else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(request, data=data, timeout=10) as answer:
            raw = answer.read()
    except urllib.error.HTTPError as error:
        raise ValueError(f"{error.code} {error.read()[:200]!r}") from None
    return json.loads(raw) if raw[:1] in {b"{", b"["} else raw
