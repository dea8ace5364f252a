"""The guides in ``docs/integrate`` are programs: the blocks of a page, in their order."""

from __future__ import annotations

import fcntl
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]


def program_of(page: str) -> str:
    """The Python of ``docs/integrate/<page>``."""
    text = (ROOT / "docs" / "integrate" / page).read_text("utf-8")
    return "\n\n".join(re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


def complaints_of(program: str, folder: Path) -> str:
    """What a strict reader of types has against a program."""
    (folder / "shop.py").write_text(program, "utf-8")
    return complaints_about(folder / "shop.py")


def complaints_about(*files: Path) -> str:
    """What a strict reader of types has against them, as against a user's files; nothing is the empty text. One reads at
    a time: all processes of the tests have one cache."""
    cache = ROOT / ".mypy_cache"
    cache.mkdir(exist_ok=True)
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(cache)]
    with (cache / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(
            [*command, *map(str, files)], cwd=ROOT / "src", capture_output=True, text=True, check=False
        )
    return done.stdout + done.stderr + (f"status {done.returncode}" if done.returncode else "")
