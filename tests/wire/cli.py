"""The command line for tests: run in this process when only its words matter, in one of its own when it is to serve."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import pytest

from oncepay import cli
from oncepay.assembly import assemble
from oncepay.config import from_env
from oncepay.domain.change import CaseOpened
from oncepay.engine import pay

READY_S: Final = 60.0
ENDS_S: Final = 60.0


class Shell:
    """Runs commands with the settings of one installation in a folder of its own."""

    def __init__(
        self, home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], database_url: str = ""
    ) -> None:
        self.home = home
        self._capsys = capsys
        self.settings = {
            "ONCEPAY_DATABASE_URL": database_url or f"sqlite:///{home / 'oncepay.db'}",
            "ONCEPAY_MASTER_KEY": base64.b64encode(b"k" * 32).decode(),
        }
        for name in [name for name in os.environ if name.startswith("ONCEPAY_")]:
            monkeypatch.delenv(name)
        for name, value in self.settings.items():
            monkeypatch.setenv(name, value)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self._capsys.readouterr()
        try:
            code = cli.run(arguments)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def good(self, *arguments: str) -> str:
        """Standard output of a command that must do well."""
        code, out, err = self.run(*arguments)
        assert code == 0, err
        return out

    def data(self, *arguments: str) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.good(*arguments, "--json"))


class Running:
    """A command that runs in a process of its own."""

    def __init__(self, arguments: Sequence[str], settings: dict[str, str], log: Path, program: str = "") -> None:
        self.log = log
        environ = {name: value for name, value in os.environ.items() if not name.startswith("ONCEPAY_")}
        command = [sys.executable, "-c", program] if program else [sys.executable, "-m", "oncepay"]
        with log.open("ab") as out:
            self.child = subprocess.Popen(
                [*command, *arguments], stdout=out, stderr=out, env={**environ, **settings}, process_group=0
            )

    def said(self) -> str:
        """Everything it wrote."""
        return self.log.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> str:
        """Wait until it says so."""
        wait(lambda: text in self.said() or self.child.poll() is not None, f"{text!r} from {self.log.name}")
        assert text in self.said(), self.said()
        return self.said()

    def ends(self, seconds: float = ENDS_S) -> int:
        """Wait for its end; its exit code."""
        return self.child.wait(seconds)

    def tell(self, number: signal.Signals) -> None:
        """Send a signal to it alone."""
        self.child.send_signal(number)


@contextlib.contextmanager
def running(*arguments: str, settings: dict[str, str], log: Path, program: str = "") -> Iterator[Running]:
    """A command, and what it started, until the end of the block."""
    process = Running(arguments, settings, log, program)
    try:
        yield process
    finally:
        if process.child.poll() is None:
            process.tell(signal.SIGTERM)
            try:
                process.ends()
            except subprocess.TimeoutExpired:
                process.child.kill()
                process.child.wait()


def wait(look: Callable[[], object], what: str, seconds: float = READY_S) -> None:
    """Look until it is so."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, f"{what} did not come within {seconds} s"
        time.sleep(0.02)


def get(url: str) -> int:
    """The status of an answer; 0 when nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code
    except OSError:
        return 0


def seed(shell: Shell) -> tuple[str, str]:
    """A payment without an attempt, and a case about it: their ids."""

    async def work() -> tuple[str, str]:
        centre = await assemble(from_env(shell.settings))
        try:
            engine = centre.engine
            now_ms = engine.clock.now_ms()
            new = pay.NewPayment(
                order_no="A-1", minor=8800, currency="CNY", subject="Tea", deadline_ms=now_ms + 3_600_000
            )
            shown = await pay.create(engine, engine.directory.app("shop"), new, None)
            payment_id = shown.payment.id
            case = CaseOpened(about=payment_id, kind="unsettled", text="Look at it.", payment_id=payment_id)
            return payment_id, await engine.ledger.open_case(case, now_ms)
        finally:
            await centre.stop(0)

    return asyncio.run(work())
