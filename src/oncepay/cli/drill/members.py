"""What may be killed: processes of oncepay, and a PostgreSQL on a small file system of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import psutil

from oncepay.cli.demo.clocked import Held
from oncepay.testing.servers import NOBODY, PostgresServer, ServerFailed

DISK_MB: Final = 1024
START_TRIES: Final = 20
DATABASE: Final = {  # a small disk, and a recovery that is done in a second
    "max_wal_size": "192MB", "min_wal_size": "64MB", "checkpoint_timeout": "30s", "shared_buffers": "64MB",
}  # fmt: skip


class Member:
    """One process, again and again. ``arguments``: a module and its own. ``settings``: on top of our environment.
    ``ended``: exit codes of ends that were not ours."""

    def __init__(self, name: str, arguments: Sequence[str], home: Path, settings: Mapping[str, str]) -> None:
        self.name = name
        self.log = home / f"{name}.log"
        self.jump = Held(home / f"{name}.jump")
        self.ended: list[int] = []
        self._arguments = [sys.executable, "-m", *arguments]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(("ONCEPAY_", "SHOP_"))}
        clock = {"DRILL_TIME": str(home / "time"), "DRILL_JUMP": str(home / f"{name}.jump")}
        self._environ = {**inherited, **settings, **clock}
        self._child: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it; what it says is added to its log."""
        with self.log.open("ab") as out:
            self._child = subprocess.Popen(
                self._arguments, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=self._environ, process_group=0
            )

    def wait(self) -> int:
        """Until it ends by itself; its exit code."""
        assert self._child is not None, "it was not started"
        return self._child.wait()

    @property
    def alive(self) -> bool:
        """Whether it runs, or is stopped."""
        return self._child is not None and self._child.poll() is None

    def kill(self) -> None:
        """``kill -9``."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
            self._child = None

    def tell(self, number: signal.Signals) -> None:
        """SIGSTOP, SIGCONT."""
        if self._child is not None and self.alive:
            self._child.send_signal(number)

    def look(self) -> bool:
        """Whether it has ended by itself since the last look."""
        if self._child is None or self._child.poll() is None:
            return False
        self.ended.append(self._child.returncode)
        self._child = None
        return True

    def stop(self) -> None:
        """In order, if it can."""
        if self._child is None:
            return
        self.tell(signal.SIGCONT)
        self.tell(signal.SIGTERM)
        try:
            self._child.wait(8)
        except subprocess.TimeoutExpired:
            self._child.kill()
        self._child.wait()
        self._child = None


class Database(PostgresServer):
    """A PostgreSQL that is killed, and whose disk is full now and then. ``small``: how its disk was made; "" if it
    could not be, for the reason ``why``."""

    def __init__(self) -> None:
        super().__init__(DATABASE)
        self.small = ""
        self.why = ""
        self.panics = 0  # how often it ended by itself

    def _make(self) -> None:
        self._data.mkdir(mode=0o700)
        self._mount()
        if self._user is not None:
            shutil.chown(self._data, NOBODY, pwd.getpwnam(NOBODY).pw_gid)
        self._data.chmod(0o700)
        super()._make()

    def _mount(self) -> None:
        """A file system of its own for the data: an ext4 in a file, or a piece of memory."""
        if os.geteuid():
            self.why = "only root may mount"
            return
        image = self._folder / "disk"
        with image.open("wb") as file:
            file.truncate(DISK_MB << 20)
        ways: dict[str, tuple[list[str | Path], ...]] = {
            "ext4 in a file": (["mkfs.ext4", "-q", "-m", "0", image], ["mount", "-o", "loop", image, self._data]),
            "tmpfs": (["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", self._data],),
        }
        for name, commands in ways.items():
            try:
                for command in commands:
                    subprocess.run(command, check=True, capture_output=True, timeout=30)
            except (OSError, subprocess.SubprocessError) as error:
                self.why = f"{name}: {getattr(error, 'stderr', b'') or error}"
            else:
                self.small = name
                for found in self._data.iterdir():  # lost+found: initdb wants an empty folder
                    shutil.rmtree(found)
                return

    def strike(self, family: Sequence[psutil.Process]) -> None:
        """``kill -9`` of all its processes, at once and without waiting for their end."""
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()

    async def returns(self) -> None:
        """It is dead, or dying: start it again on the same address."""
        for tries_left in reversed(range(START_TRIES)):
            if self._process is not None:
                with contextlib.suppress(psutil.NoSuchProcess):
                    await asyncio.to_thread(self.kill9)
                self._process = None
            try:
                await asyncio.to_thread(self.start)
            except ServerFailed:  # a child that outlived it holds its memory for a moment; or its disk is full
                if not tries_left:
                    raise
                await asyncio.sleep(0.2)
            else:
                return

    def fill(self) -> int:
        """Take all that is left of its disk; how many bytes that was."""
        free = shutil.disk_usage(self._data).free
        with self._ballast.open("wb") as file:
            for size in (free, free // 2, free // 4, free // 8):
                with contextlib.suppress(OSError):
                    os.posix_fallocate(file.fileno(), file.seek(0, os.SEEK_END), max(size, 1))
        return free

    def empty(self) -> None:
        """Give it back."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self._data / "drill-ballast"

    def close(self) -> None:
        """Stop and leave nothing behind."""
        if self._process is not None and not self.running:
            self._process = None
        if self._process is not None:
            self.stop()
        if self.small:
            subprocess.run(["umount", self._data], check=False, capture_output=True, timeout=30)
        super().close()
