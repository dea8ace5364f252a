"""A channel from another distribution: built, installed and found as anybody's would be, with nothing changed here."""

from __future__ import annotations

import base64
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest

from oncepay.channels import registry

ROOT: Final = Path(__file__).parents[2]
ADDING: Final = ROOT / "docs" / "channels" / "adding.md"
EXAMPLE: Final = ADDING.with_name("example")
BUILD: Final = "import sys; from setuptools import build_meta; print(build_meta.build_wheel(sys.argv[1]))"


@pytest.fixture(scope="session")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of packages into which the example's wheel was installed: its files and its metadata."""
    source, site = tmp_path_factory.mktemp("source") / "example", tmp_path_factory.mktemp("site")
    shutil.copytree(EXAMPLE, source, ignore=shutil.ignore_patterns("__pycache__", "build", "*.egg-info"))
    done = subprocess.run(
        [sys.executable, "-c", BUILD, str(site)], cwd=source, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = site.glob("*.whl")
    with ZipFile(wheel) as packed:
        packed.extractall(site)
    wheel.unlink()
    return site


def run(installed: Path, folder: Path, *arguments: str, **environment: str) -> str:
    """What a program of ours prints that can import nothing but what is installed."""
    paths = os.pathsep.join((str(installed), str(ROOT / "src")))
    done = subprocess.run(
        [sys.executable, "-m", *arguments], cwd=folder, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": paths, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", **environment},
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_it_is_found_by_its_entry_point(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cashdesk" not in registry.known()
    monkeypatch.syspath_prepend(str(installed))
    assert "cashdesk" in registry.known()
    assert registry.channel("cashdesk").name == "cashdesk"


def test_it_is_all_that_a_channel_is(installed: Path, tmp_path: Path) -> None:
    """Its own tests: the exercise, and payments through a real centre on SQLite that found it."""
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, tmp_path)
    said = run(installed, tmp_path, "pytest", "-q", "-c", os.devnull, "--rootdir", ".", "-p", "no:cacheprovider", ".")
    assert "3 passed" in said


def test_its_accounts_are_as_ours(installed: Path, tmp_path: Path) -> None:
    """The commands of the page, to the letter."""
    (block,) = re.findall(r"^```sh\n(.*?)^```", ADDING.read_text(), re.MULTILINE | re.DOTALL)
    settings = {
        "ONCEPAY_DATABASE_URL": f"sqlite:///{tmp_path}/test.db",
        "ONCEPAY_MASTER_KEY": base64.b64encode(b"k" * 32).decode(),
    }
    (tmp_path / "desk.secret").write_text("x" * 32)
    run(installed, tmp_path, "oncepay", "migrate", **settings)
    said = [run(installed, tmp_path, *shlex.split(line), **settings) for line in block.replace("\\\n", "").splitlines()]
    assert "desk" in said[-1]
    assert "cashdesk" in said[-1]
