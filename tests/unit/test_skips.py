"""In CI a skipped test fails; elsewhere it is only reported."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEST = "import pytest\ndef test_it(): pytest.skip('no such thing here')\n"
MODULE = "import pytest\npytest.importorskip('a_module_that_is_not_there')\n"
EXPECTED = "import pytest\n@pytest.mark.xfail(reason='known')\ndef test_it(): assert 0\n"


@pytest.mark.parametrize(
    ("text", "ci", "passes"),
    [
        (TEST, "", True),
        (TEST, "false", True),
        (TEST, "true", False),
        (MODULE, "true", False),
        (EXPECTED, "true", True),  # said in advance to fail is not skipped
    ],
)
def test_a_skip_fails_in_ci(tmp_path: Path, text: str, ci: str, passes: bool) -> None:
    (tmp_path / "test_it.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.conftest", "-p", "no:cacheprovider", "-c", os.devnull,
         "--rootdir", tmp_path, tmp_path],
        cwd=ROOT, env={**os.environ, "CI": ci, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) is passes, done.stdout
    assert passes or "in CI a skip is a failure" in done.stdout
