"""The guides in ``docs/integrate`` are programs: the blocks of a page, in their order."""

from __future__ import annotations

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
    """What a strict reader of types has against it, as against a user's file; nothing is the empty text."""
    (folder / "shop.py").write_text(program, "utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(ROOT / ".mypy_cache")]
    done = subprocess.run(
        [*command, str(folder / "shop.py")], cwd=ROOT / "src", capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr + (f"status {done.returncode}" if done.returncode else "")
