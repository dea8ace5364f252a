"""``serve`` and ``work`` as processes: they start, share, die and stop as they should."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from oncepay.cli import serve
from oncepay.config import Config
from oncepay.testing.ports import free_port
from tests.wire.cli import Running, get, running, wait

KEY = base64.b64encode(b"k" * 32).decode()
HURRIED = """
import sys
from oncepay.cli import main, processes
processes.YOUNG_S = 0.0
main(sys.argv[1:])
"""


@pytest.fixture
def sqlite_settings(tmp_path: Path) -> dict[str, str]:
    return {"ONCEPAY_DATABASE_URL": f"sqlite:///{tmp_path / 'oncepay.db'}", "ONCEPAY_MASTER_KEY": KEY}


@pytest.fixture
def postgres_settings(postgres_database: str) -> dict[str, str]:
    return {"ONCEPAY_DATABASE_URL": postgres_database, "ONCEPAY_MASTER_KEY": KEY}


@contextlib.contextmanager
def serving(settings: dict[str, str], log: Path, *more: str, program: str = "") -> Iterator[tuple[Running, str]]:
    """A centre that answers, and its address."""
    url = f"127.0.0.1:{free_port()}"
    with running("serve", "--listen", url, *more, settings=settings, log=log, program=program) as process:
        wait(lambda: get(f"http://{url}/readyz") == 200 or process.child.poll() is not None, "an answer")
        assert process.child.poll() is None, process.said()
        yield process, f"http://{url}"


def children(process: Running, count: int) -> list[int]:
    """The pids of the newest children, once there are so many that live."""

    def alive() -> list[int]:
        pids = [int(pid) for pid in re.findall(r"process\.started pid=(\d+)", process.said())]
        return [pid for pid in pids if lives(pid)]

    wait(lambda: len(alive()) == count, f"{count} children")
    return alive()


def lives(pid: int) -> bool:
    """Whether a process is there and is not a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_it_quickly_and_cleanly(
    sqlite_settings: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    with serving(sqlite_settings, tmp_path / "log") as (process, url):
        assert get(f"{url}/livez") == 200
        process.tell(number)
        assert process.ends(20) == 0
        assert "centre.stopped" in process.said()
        assert "Traceback" not in process.said()


def test_a_taken_address_is_one_line(sqlite_settings: dict[str, str], tmp_path: Path) -> None:
    with (
        serving(sqlite_settings, tmp_path / "first") as (_, url),
        running("serve", "--listen", url[7:], settings=sqlite_settings, log=tmp_path / "second") as second,
    ):
        assert second.ends() == 5
        assert second.said().count("\n") == 1
        assert "cannot listen" in second.said()


def test_an_address_that_a_dying_centre_still_holds_is_taken_when_it_comes_free(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The children of a killed parent hold it until they notice, and whoever restarts a centre does so at once."""
    holder = socket.create_server(("127.0.0.1", 0))
    port = holder.getsockname()[1]
    monkeypatch.setattr(time, "sleep", lambda _: holder.close())
    with serve._bound(Config(listen=f"127.0.0.1:{port}")) as taken:
        assert taken.getsockname()[1] == port


def test_a_missing_master_key_is_one_line(sqlite_settings: dict[str, str], tmp_path: Path) -> None:
    del sqlite_settings["ONCEPAY_MASTER_KEY"]
    with running("serve", "--listen", "127.0.0.1:0", settings=sqlite_settings, log=tmp_path / "log") as process:
        assert process.ends() == 6
        assert process.said().count("\n") == 1
        assert "ONCEPAY_MASTER_KEY" in process.said()


def test_two_on_one_sqlite_file_are_safe_and_both_answer(sqlite_settings: dict[str, str], tmp_path: Path) -> None:
    with (
        serving(sqlite_settings, tmp_path / "first") as (_, first),
        serving(sqlite_settings, tmp_path / "second") as (_, second),
    ):
        assert (get(f"{first}/readyz"), get(f"{second}/readyz")) == (200, 200)


def test_work_alone_works_and_stops(sqlite_settings: dict[str, str], tmp_path: Path) -> None:
    with running("work", settings=sqlite_settings, log=tmp_path / "log") as process:
        process.wait_for("worker.started")
        process.tell(signal.SIGTERM)
        assert process.ends() == 0
        assert "worker.stopped" in process.said()


def test_several_processes_share_an_address_and_stop_together(
    postgres_settings: dict[str, str], tmp_path: Path
) -> None:
    with serving(postgres_settings, tmp_path / "log", "--workers", "2") as (process, url):
        pids = children(process, 2)
        wait(lambda: process.said().count("centre.started") == 2, "both to start")
        assert {get(f"{url}/readyz") for _ in range(20)} == {200}
        process.tell(signal.SIGTERM)
        assert process.ends() == 0
        assert [pid for pid in pids if lives(pid)] == []


def test_a_child_that_dies_is_told_about_and_replaced(postgres_settings: dict[str, str], tmp_path: Path) -> None:
    with serving(postgres_settings, tmp_path / "log", "--workers", "2", program=HURRIED) as (process, url):
        first, second = children(process, 2)
        os.kill(first, signal.SIGKILL)
        assert "code=-9" in process.wait_for("process.died")
        third = next(pid for pid in children(process, 2) if pid != second)
        assert third != first
        assert get(f"{url}/readyz") == 200


def test_children_that_cannot_start_end_it_all(postgres_settings: dict[str, str], tmp_path: Path) -> None:
    del postgres_settings["ONCEPAY_MASTER_KEY"]
    arguments = ("serve", "--listen", "127.0.0.1:0", "--workers", "2")
    with running(*arguments, settings=postgres_settings, log=tmp_path / "log") as process:
        assert process.ends() == 6
        assert "process.failed" in process.said()


def test_children_do_not_outlive_a_parent_that_was_killed(postgres_settings: dict[str, str], tmp_path: Path) -> None:
    with serving(postgres_settings, tmp_path / "log", "--workers", "2") as (process, _):
        pids = children(process, 2)
        process.tell(signal.SIGKILL)
        process.ends()
        wait(lambda: not any(lives(pid) for pid in pids), "the end of the children")
