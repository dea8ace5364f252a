"""The processes that are measured: the sandbox, the centre, the database, and what they use of the machine."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import subprocess
import sys
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path

import psutil

from oncepay.assembly import assemble
from oncepay.config import Config
from oncepay.engine import admin
from oncepay.testing.ports import free_port
from oncepay.testing.servers import PostgresServer


class Place:
    """A process of ours that listens on a port."""

    def __init__(self, arguments: list[str], port: int, home: Path, env: Mapping[str, str] | None = None) -> None:
        self.port = port
        self._log = (home / f"{arguments[0]}.log").open("ab")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "oncepay", *arguments],
            stdout=self._log,
            stderr=self._log,
            env={**os.environ, **(env or {})},
        )
        self._home = home

    def ready(self, path: str, within_s: float = 20.0) -> None:
        """Wait until it answers."""
        end = time.monotonic() + within_s
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=1):
                    return
            except OSError:
                if time.monotonic() > end or self._process.poll() is not None:
                    raise SystemExit(f"no answer on {path}; see {self._log.name}") from None
                time.sleep(0.05)

    def processes(self) -> list[psutil.Process]:
        """It and its children."""
        me = psutil.Process(self._process.pid)
        return [me, *me.children(recursive=True)]

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()


def cpu_s(processes: list[psutil.Process]) -> float:
    """User and system time of these processes so far, seconds; of ended children of theirs too."""
    total = 0.0
    for process in processes:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system
    return total


def rss_mb(processes: list[psutil.Process]) -> float:
    """Resident memory, MB."""
    return float(sum(p.memory_info().rss for p in processes if p.is_running())) / 1e6


class Town:
    """A sandbox, a database and a centre, set up for one app with one webhook."""

    def __init__(self, home: Path, database: str, sink_port: int) -> None:
        self.home = home
        self.sink_port = sink_port
        self.postgres = PostgresServer() if database == "postgres" else None
        self.sandbox_port, self.centre_port = free_port(), free_port()
        self.key = ""

    async def build(self) -> None:
        """Start everything."""
        if self.postgres:
            self.postgres.start()
            self.url = self.postgres.url
        else:
            self.url = f"sqlite:///{self.home}/centre.db"
        listen = f"127.0.0.1:{self.sandbox_port}"
        self.sandbox = Place(
            ["sandbox", "--listen", listen, "--home", str(self.home / "sandbox")], self.sandbox_port, self.home
        )
        self.sandbox.ready("/sandbox/clock")
        public_url = f"http://127.0.0.1:{self.centre_port}"
        master_key = base64.b64encode(secrets.token_bytes(32)).decode()
        await self._set_up(Config(database_url=self.url, public_url=public_url, master_key=master_key))
        self.centre = Place(
            ["serve", "--listen", f"127.0.0.1:{self.centre_port}"],
            self.centre_port,
            self.home,
            {
                "ONCEPAY_DATABASE_URL": self.url,
                "ONCEPAY_PUBLIC_URL": public_url,
                "ONCEPAY_MASTER_KEY": master_key,
                "ONCEPAY_LOG_LEVEL": "WARNING",
            },
        )
        self.centre.ready("/readyz")

    async def _set_up(self, config: Config) -> None:
        played = json.loads((self.home / "sandbox" / "sandbox.json").read_text())
        centre = await assemble(config)
        engine = centre.engine
        app, self.key = await admin.create_app(engine, "shop", "The bench's shop")
        app = await admin.set_policies(engine, app, private_networks=("127.0.0.0/8",))
        await admin.add_endpoint(engine, app, f"http://127.0.0.1:{self.sink_port}/hook")
        for channel in ("wechat", "alipay", "unionpay"):
            await admin.add_account(engine, channel, channel, **played[channel]["account"])
        await centre.stop()

    def measured(self) -> list[psutil.Process]:
        """The processes whose CPU counts: the centre's and the database's."""
        return self.centre.processes() + (self.postgres.processes() if self.postgres else [])

    def tear_down(self) -> None:
        """Stop everything."""
        self.centre.stop()
        self.sandbox.stop()
        if self.postgres:
            self.postgres.close()


async def settle(seconds: float) -> None:
    """Let background work of the last run end before the next is measured."""
    await asyncio.sleep(seconds)
