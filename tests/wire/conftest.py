"""What speaks over real sockets is tested on both event loops that it may run in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import uvloop

from tests.wire.cli import Shell
from tests.wire.loopback import Certificates

HERE = Path(__file__).parent


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    """A certificate authority of our own, and what it signed."""
    return Certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    """The command line, on an installation with nothing in it yet; the logging that it sets up is taken down again."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    shell = Shell(tmp_path, monkeypatch, capsys)
    shell.good("migrate")
    yield shell
    root.handlers[:], root.level = handlers, level
