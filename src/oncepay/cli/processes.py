"""Several processes on one listening socket: a parent that starts them, passes signals on and waits.

A child that dies is told about and replaced; one that dies right after its start would only die again, so then all
stop and the exit code says so. What a dead child was doing is simply due, for any other process. Children hold the end
of a pipe: when the parent is killed it closes, and they stop by themselves.
"""

from __future__ import annotations

import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from types import FrameType
from typing import Final

from oncepay.cli import exits

log = logging.getLogger("oncepay.cli")

YOUNG_S: Final = 5.0  # a child that dies younger than this could not start


class _Family:
    """The children that live, and since when."""

    def __init__(self, arguments: Sequence[str], listener: socket.socket) -> None:
        self._alive, self._held = os.pipe()
        self._fds = (listener.fileno(), self._alive)
        inherited = ["--fd", str(listener.fileno()), "--alive-fd", str(self._alive)]
        self._command = [sys.executable, "-m", "oncepay", *arguments, *inherited]
        self.born: dict[int, float] = {}
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.told = 0  # the signal that came last; what comes while a child is started finds it in no list yet

    @property
    def stopping(self) -> bool:
        """Whether all are to end."""
        return self.told != 0

    def start(self) -> None:
        """Start a child, unless all are to end."""
        if self.stopping:
            return
        # In a group of its own: Ctrl-C reaches a child once, through us.
        child = subprocess.Popen(self._command, pass_fds=self._fds, process_group=0)  # noqa: S603 - our own command
        self.children[child.pid] = child
        self.born[child.pid] = time.monotonic()
        log.info("process.started pid=%d", child.pid)
        if self.told:  # meanwhile. Heard twice it does no harm: it has begun nothing yet
            _pass_on(self.told, child.pid)

    def tell(self, number: int, _frame: FrameType | None = None) -> None:
        """Pass a signal on."""
        self.told = number
        for pid in self.children:
            _pass_on(number, pid)

    def next_end(self) -> tuple[int, int, float]:
        """Wait for a child to end: its pid, its exit code (negative: a signal), its age in seconds."""
        pid, status = os.wait()
        child = self.children.pop(pid, None)
        code = os.waitstatus_to_exitcode(status)
        if child is not None:
            child.returncode = code
        return pid, code, time.monotonic() - self.born.pop(pid, 0.0)


def _pass_on(number: int, pid: int) -> None:
    """A child that has ended meanwhile has heard enough. Not by ``Popen.send_signal``: that looks first whether it has,
    which takes its end away from who waits for it."""
    with suppress(ProcessLookupError):
        os.kill(pid, number)


def supervise(arguments: Sequence[str], listener: socket.socket, workers: int) -> int:
    """Run ``workers`` children until told to stop; the exit code. ``arguments``: of the command ``oncepay``."""
    listener.listen(2048)
    family = _Family(arguments, listener)
    signal.signal(signal.SIGTERM, family.tell)
    signal.signal(signal.SIGINT, family.tell)
    for _ in range(workers):
        family.start()
    log.info("processes.started count=%d pid=%d", workers, os.getpid())
    failed = exits.OK
    while family.children:
        pid, code, age_s = family.next_end()
        if family.stopping:
            log.info("process.ended pid=%d code=%d", pid, code)
        elif age_s < YOUNG_S:
            log.error("process.failed pid=%d code=%d after_s=%.1f; all stop", pid, code, age_s)
            failed = code if code > 0 else exits.FAILED
            family.tell(signal.SIGTERM)
        else:
            log.error("process.died pid=%d code=%d after_s=%.0f; another is started", pid, code, age_s)
            family.start()
    return failed
