"""The services that tests start: gone and back on one address, and none left over when their owner was killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path
from typing import Final

import psutil
import redis

from oncepay.testing.servers import wait_until
from oncepay.testing.services import valkey

ROOT: Final = Path(__file__).parents[2]
OWNER: Final = """
from oncepay.testing.services import valkey
with valkey() as server:
    print(server._process.pid, server.folder, flush=True)
    input()
"""


def test_a_service_comes_back_to_its_address_and_has_forgotten() -> None:
    with valkey() as server:
        url = server.url
        with redis.Redis.from_url(url) as client:
            client.set("a", "b")
            server.kill9()
            server.start()
            assert client.get("a") is None
        server.stop()
        server.start()
        assert server.url == url
    assert not server.folder.exists()


def test_the_service_of_a_killed_owner_is_swept(servers_elsewhere: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as owner:
        assert owner.stdout is not None
        pid, folder = owner.stdout.readline().split()
        owner.send_signal(signal.SIGKILL)
        owner.wait(30)
        left = psutil.Process(int(pid))
        assert left.is_running()
        with valkey():
            wait_until(lambda: not left.is_running() or left.status() == psutil.STATUS_ZOMBIE, 30)
        assert not Path(folder).exists()
