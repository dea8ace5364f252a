"""Each planted bug is caught by the test that it names, and the page tells the truth about all of them."""

from __future__ import annotations

import ast
import gc
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from oncepay.domain.money import check_amount
from oncepay.testing.edits import edit
from oncepay.testing.sim import telling
from oncepay.testing.sim.options import Options
from oncepay.testing.sim.planted import PLANTED
from oncepay.testing.sim.run import run
from tests.planted import page
from tests.planted.bug import Bug, Found
from tests.planted.catalogue import ROOMS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "planted.md"
_WORLD = re.compile(
    r'sim --planted "([^\n]+)"\n```\n\n```text\n(.*?)  again: .*?--replay (\d+) --options \'(.*?)\'\n```', re.DOTALL
)


@pytest.mark.parametrize("room", ROOMS)
def test_each_is_caught(room: str, postgres_url: str) -> None:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "ONCEPAY_TEST_POSTGRES_URL": postgres_url}
    command = [sys.executable, "-m", "tests.planted", room]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, [line for line in done.stdout.splitlines() if not line.startswith("caught")]
    assert done.stdout.count("caught  ") == len(ROOMS[room])


def test_each_has_a_name_of_its_own_and_breaks_what_is_promised() -> None:
    bugs = [bug for room in ROOMS.values() for bug in room]
    assert len({bug.name for bug in bugs}) == len(bugs)
    promised = set(re.findall(r"^\| \*\*(.+?)\*\*", (ROOT / "docs" / "promises.md").read_text("utf-8"), re.MULTILINE))
    assert {bug.breaks for bug in bugs} <= promised
    assert set(telling.PROMISES.values()) <= promised


def test_a_bug_is_not_caught_by_an_error_of_its_own() -> None:
    bug = Bug("a bug", "no phantom", "tests/a.py::test_a", edit(check_amount, "if ", "if "))
    assert Found(bug, "tests/a.py::test_a", "AssertionError").caught
    assert not Found(bug, "tests/a.py::test_a", "KeyError").caught
    assert not Found(bug).caught


def test_a_test_that_fails_without_the_bug_has_not_caught_it(tmp_path: Path) -> None:
    (tmp_path / "test_red.py").write_text("def test_red():\n    assert False, 'red anyway'\n", "utf-8")
    program = (
        "import pathlib, sys\n"
        "from oncepay.domain.money import check_amount\nfrom oncepay.testing.edits import edit\n"
        "from tests.planted import run\nfrom tests.planted.bug import Bug\n"
        "run.HOME = pathlib.Path(sys.argv[1])\n"
        "plant = edit(check_amount, 'if not 1 <= minor', 'if  not 1 <= minor')\n"
        "bug = Bug('a bug', 'no phantom', 'test_red.py::test_red', plant)\n"
        "print(run.run([bug], lambda found: print(found.caught, found.error, found.words)))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-c", program, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert "False fails without it, too red anyway" in done.stdout, done.stdout + done.stderr


def test_a_bug_that_changes_nothing_cannot_be_planted() -> None:
    with pytest.raises(LookupError, match="stands 0 times"), edit(check_amount, "these words are not there", "")():
        pass


class Wreckage:
    """What a bug leaves behind: garbage whose end reads a program, as the end of a coroutine may, and leaves more."""

    left = 0

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        ast.parse("def end(): return [1, 2]")
        Wreckage.left -= 1
        if Wreckage.left > 0:
            Wreckage()


def test_what_a_bug_left_behind_is_not_collected_while_the_next_is_planted() -> None:
    """CPython 3.11 raises SystemError when one syntax tree is built inside another."""
    thresholds = gc.get_threshold()
    Wreckage.left = 1_000_000
    Wreckage()
    gc.set_threshold(5)
    try:
        for _ in range(20):
            with edit(check_amount, "if not 1 <= minor", "if  not 1 <= minor")():
                pass
    finally:
        gc.set_threshold(*thresholds)
        Wreckage.left = 0
        gc.collect()


def test_the_tables_are_drawn_from_the_catalogues() -> None:
    text = PAGE.read_text("utf-8")
    assert page.drawn(text) == text, "run: python -m tests.planted.page docs/planted.md"
    assert text.count("<!-- drawn: ") == len(page.TABLES)


def test_the_stories_are_what_the_commands_print() -> None:
    text = PAGE.read_text("utf-8")
    small = page.stories(text)
    assert len(small) == 3
    for rule, told in small.items():
        assert page.story(rule) == told
    worlds = _WORLD.findall(text)
    assert len(worlds) == 2
    for name, told, seed, options in worlds:
        bug = next(bug for bug in PLANTED if bug.name == name)
        with bug.plant():
            found = run(int(seed), msgspec.json.decode(options, type=Options))
        assert [line.strip() for line in told.partition("the story:\n")[2].splitlines()] == found.story


def test_times_and_amounts_are_for_people() -> None:
    assert telling.clock(75.5) == "00:01:15.500"
    assert telling.clock(200_000.25) == "day 3, 07:33:20.250"
    assert telling.money("the channels hold 1, the centre keeps -8800; 19999 is held") == (
        "the channels hold 0.01 CNY, the centre keeps -88.00 CNY; 199.99 CNY is held"
    )
    assert telling.money("120 is kept of 100; it was told version 2 of 3") == (
        "1.20 CNY is kept of 1.00 CNY; it was told version 2 of 3"
    )
