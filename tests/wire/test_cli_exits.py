"""Exit codes: every error has one, from its family."""

from __future__ import annotations

import subprocess
import sys

import pytest

from oncepay import __main__ as entry
from oncepay.cli import exits
from oncepay.config import ConfigInvalid
from oncepay.domain import errors
from oncepay.engine.vault import VaultRefused
from oncepay.store.refusals import ConfigUnsafe, MigrationRefused


def family(kind: type[errors.OncepayError]) -> list[type[errors.OncepayError]]:
    """The class and all below it."""
    return [kind, *(below for child in kind.__subclasses__() for below in family(child))]


def test_no_error_ends_as_if_nothing_had_happened() -> None:
    assert {kind.__name__ for kind in family(errors.OncepayError) if exits.code_of(kind("x")) == exits.OK} == set()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.NumberInvalid("x"), 2),
        (errors.PaymentAbsent(), 3),
        (errors.KeyReused(), 4),
        (errors.Overloaded(), 5),
        (errors.CommitUnknown(), 5),
        (errors.ChannelSilent(), 5),
        (errors.ChannelRefused(), 1),
        (ConfigInvalid("x"), 6),
        (VaultRefused("x"), 6),
        (ConfigUnsafe("fsync", "off", "on"), 6),
        (MigrationRefused("x"), 6),
        (ValueError("x"), 1),
    ],
)
def test_the_families(error: Exception, code: int) -> None:
    assert exits.code_of(error) == code


def test_what_is_said_is_one_line_for_people() -> None:
    assert exits.sentence(errors.PaymentAbsent()) == "There is no such payment."
    assert exits.sentence(FileNotFoundError(2, "No such file", "key.pem")) == "key.pem: No such file"
    assert exits.sentence(KeyError("x")) == "KeyError: 'x' (--debug shows where)"


def interrupted_while_it_loads(name: str) -> subprocess.CompletedProcess[str]:
    """The command, to which Ctrl-C comes when it looks for a module."""
    program = (
        "import os, signal, sys\n"
        "class Finder:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        f"        if name == {name!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from oncepay.__main__ import main\n"
        "sys.argv = ['oncepay', 'app', 'list']\n"
        "main()\n"
    )
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("name", ["apsw", "oncepay.cli", "click", "oncepay.cli.audit"])
def test_ctrl_c_while_modules_are_loaded_is_no_error(name: str) -> None:
    ended = interrupted_while_it_loads(name)
    assert (ended.returncode, ended.stdout, ended.stderr) == (exits.INTERRUPTED, "", "")


def test_the_entry_point_knows_the_code_of_an_interruption() -> None:
    assert entry.INTERRUPTED == exits.INTERRUPTED
