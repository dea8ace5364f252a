"""The plugin in a project outside of this repository, found by the entry point of the wheel."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from tests.testing.conftest import Run

OUTSIDE: Final = {
    f"test_{path.name}": path.read_text("utf-8") for path in (Path(__file__).parent / "outside").glob("*.py")
}

# What each failing test of ``outside/wrong.py`` says.
WRONG: Final = {
    "other_changes": r"AssertionError: told: paid\n.*expected: paid, refund\.done\n",
    "other_fields": r"AssertionError: kept_minor: 8800\n.*expected: 8000\n",
    "other_order": r"LookupError: the app has asked for no payment 'B-1'; the latest orders are: A-1\n",
    "other_channel": r"Unpayable: attempt_absent: order A-1 has no attempt by alipay, there are: wechat native\n",
    "paid_twice": r"Unpayable: already_paid: ",
    "other_fault": r"FaultInvalid: no fault 'notify_never'; there are .*notify_none, ",
    "handler_that_raises": r"ZeroDivisionError: a fault of the app\n",
    "handler_that_says_nothing": r"TypeError: a handler returns the status that the app answers, like 204, and not None\n",
    "handler_that_uses_a_verb": r"WrongThread: a handler cannot use the verbs: ",
}


def test_what_passes(outside: Run) -> None:
    done = outside({"test_paid.py": OUTSIDE["test_paid.py"]}, "-q")
    assert re.search(r"^29 passed", done.stdout, re.MULTILINE), done.stdout + done.stderr


def test_what_fails_says_why(outside: Run) -> None:
    done = outside({"test_wrong.py": OUTSIDE["test_wrong.py"]}, "-q")
    assert f"{len(WRONG)} failed" in done.stdout
    assert "error" not in done.stdout.splitlines()[-1]
    parts = re.split(r"^_+ test_(\w+) _+$", done.stdout, flags=re.MULTILINE)
    said = dict(zip(parts[1::2], parts[2::2], strict=True))
    assert {
        name: text for name, text in said.items() if not re.search(f"^E +(\\S+\\.)?{WRONG[name]}", text, re.MULTILINE)
    } == {}


def test_who_does_not_use_it_pays_nothing(outside: Run) -> None:
    program = """
import sys

def test_nothing_is_loaded():
    ours = {name for name in sys.modules if name.partition(".")[0] == "oncepay"}
    assert ours == {"oncepay", "oncepay.testing", "oncepay.testing.plugin"}
"""
    done = outside({"test_nothing.py": program}, "-q")
    assert "1 passed" in done.stdout, done.stdout + done.stderr


def test_what_is_missing_is_told_in_one_line(outside: Run) -> None:
    files = {
        "conftest.py": "import sys\n\nsys.modules['uvicorn'] = None\n",
        "test_it.py": "def test_it(oncepay):\n    raise AssertionError\n",
    }
    done = outside(files, "-q")
    assert "oncepay's fixtures need uvicorn; cure: pip install 'oncepay[testing]'\n" in done.stdout
    assert "Traceback" not in done.stdout


def test_the_plugin_is_loaded_in_no_time() -> None:
    program = "import sys, pytest; before = set(sys.modules); import oncepay.testing.plugin; print(*sorted(set(sys.modules) - before))"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert [name for name in done.stdout.split() if not name.startswith("oncepay")] == []


def test_an_app_of_django_is_told_by_its_test_client(outside: Run) -> None:
    done = outside({"test_django.py": OUTSIDE["test_django_app.py"]}, "-q")
    assert "1 passed" in done.stdout, done.stdout + done.stderr
