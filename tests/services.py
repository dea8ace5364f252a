"""A MariaDB of our own for tests, the machine's (Debian: ``mariadb-server``), as ``oncepay.testing.services`` starts others;
and what a test knows of RabbitMQ. ONCEPAY_TEST_MARIADB_URL or ONCEPAY_TEST_REDIS_URL name a server to use instead,
``mysql://root@127.0.0.1:3306`` or ``redis://127.0.0.1:6379``. A Kafka is in ``kafka_mock.py``.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

from oncepay.testing.servers import START_S, wait_until
from oncepay.testing.services import Service


def wait_for_quorum_queue(server: Service, name: str) -> None:
    """Wait until a quorum queue that was just declared would survive a kill.

    RabbitMQ 3.10 answers a declaration up to a second before the new queue's name is on disk; a node that is killed in
    between has the queue afterwards, and it never answers.
    """
    (names,) = server.folder.glob("mnesia/*/quorum/*/names.dets")
    written = f"%2F_{name}".encode()
    counted = bytes([len(written)]) + written  # an atom: its length, itself; so a longer name is not taken for it
    wait_until(lambda: counted in names.read_bytes(), START_S)


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
