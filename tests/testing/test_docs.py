"""The project of ``docs/integrate/testing.md``, as it stands: strictly typed, it passes, and the test that is to fail says
what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from tests.client.guide import complaints_about
from tests.testing.conftest import Run
from tests.wheel import ROOT

PAGE: Final = (ROOT / "docs" / "integrate" / "testing.md").read_text("utf-8")
FILES: Final = dict(re.findall(r"^```python\n# (\w+\.py)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL))
SAYS: Final = re.findall(r"^```text\n(.*?)\n```", PAGE, re.MULTILINE | re.DOTALL)


def test_every_block_is_a_file() -> None:
    assert len(FILES) == PAGE.count("```python") == 6
    assert len(SAYS) == 1


def test_the_project_is_strictly_typed(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, "utf-8")
    assert complaints_about(*(tmp_path / name for name in FILES)) == ""


def test_the_project_runs(outside: Run) -> None:
    done = outside(FILES)
    assert re.search(r"^FAILED test_forgotten.py::test_forgotten .*\n=+ 1 failed, 6 passed", done.stdout, re.MULTILINE)
    said = "\n".join(line.removeprefix("E").removeprefix("       ") for line in done.stdout.splitlines())
    (wanted,) = SAYS
    pattern = re.escape(wanted).replace(re.escape("..."), ".*?")
    assert re.search(f"AssertionError: {pattern}", said, re.DOTALL), done.stdout
