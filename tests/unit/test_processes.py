"""``serve --workers``: a stop that comes while children are being started is heard by all of them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from oncepay.cli import exits, processes

SLEEP = ["sleep", "60"]
OURS = (signal.SIGTERM, signal.SIGINT)
WAIT_S = 20


@pytest.fixture(autouse=True)
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in OURS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


class Started:
    """What stands in for ``Popen``: children that would live for a minute, and what happens at each start."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.children: list[subprocess.Popen[bytes]] = []
        self.before: Callable[[int], None] = lambda _: None
        self.after: Callable[[int], None] = lambda _: None
        self._real = subprocess.Popen
        monkeypatch.setattr("oncepay.cli.processes.subprocess.Popen", self._start)

    def _start(self, _command: list[str], **given: Any) -> subprocess.Popen[bytes]:
        turn = len(self.children) + 1
        self.before(turn)
        self.children.append(self._real(SLEEP, process_group=given["process_group"]))
        self.after(turn)
        return self.children[-1]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Iterator[Started]:
    made = Started(monkeypatch)
    yield made
    for child in made.children:
        if child.returncode is None:
            child.kill()
            child.wait()


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as made:
        yield made


@pytest.fixture(autouse=True)
def no_longer_than() -> Iterator[None]:
    """A signal that is lost leaves ``supervise`` waiting for ever."""

    def too_long(*_: object) -> None:
        raise TimeoutError("still waiting for children")

    before = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(WAIT_S)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def at(turn: int, number: signal.Signals = signal.SIGTERM) -> Callable[[int], None]:
    """The signal comes at this start."""
    return lambda now: os.kill(os.getpid(), number) if now == turn else None


@pytest.mark.parametrize("number", OURS)
def test_a_stop_in_the_middle_of_a_start_reaches_that_child(
    started: Started, listener: socket.socket, number: signal.Signals
) -> None:
    """It lives already, and is not in the family yet. Those that would come after it are not started."""
    started.after = at(2, number)
    assert processes.supervise(["serve"], listener, 4) == exits.OK
    assert [child.returncode for child in started.children] == [-number, -number]


def test_a_stop_just_before_a_start(started: Started, listener: socket.socket) -> None:
    started.before = at(1)
    assert processes.supervise(["serve"], listener, 3) == exits.OK
    assert [child.returncode for child in started.children] == [-signal.SIGTERM]


def test_a_stop_while_one_is_replaced(
    started: Started, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "YOUNG_S", 0.0)

    def killed_then_told(turn: int) -> None:
        started.children[0].kill()
        at(2)(turn)

    started.after = killed_then_told
    assert processes.supervise(["serve"], listener, 1) == exits.OK
    assert [child.returncode for child in started.children] == [-signal.SIGKILL, -signal.SIGTERM]


def test_a_child_that_has_just_ended_is_no_reason_to_fail(started: Started, listener: socket.socket) -> None:
    def killed_then_told(turn: int) -> None:
        if turn == 2:
            started.children[0].kill()
            os.waitid(os.P_PID, started.children[0].pid, os.WEXITED | os.WNOWAIT)
            os.kill(os.getpid(), signal.SIGTERM)

    started.after = killed_then_told
    assert processes.supervise(["serve"], listener, 2) == exits.OK
    assert [child.returncode for child in started.children] == [-signal.SIGKILL, -signal.SIGTERM]


def test_none_is_replaced_once_told_to_stop(
    started: Started, listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The signal comes between the end of a child and the start of another."""
    monkeypatch.setattr(processes, "YOUNG_S", 0.0)
    started.after = lambda _: started.children[0].kill()
    told = processes.log.error

    def stop(*given: object) -> None:
        told(*given)
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(processes.log, "error", stop)
    assert processes.supervise(["serve"], listener, 1) == exits.OK
    assert [child.returncode for child in started.children] == [-signal.SIGKILL]
