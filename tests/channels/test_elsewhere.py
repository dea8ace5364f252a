"""A channel from another distribution: built, installed and found as anybody's would be, with nothing changed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import pytest

from oncepay.channels import registry

ROOT: Final = Path(__file__).parents[2]
EXAMPLE: Final = ROOT / "docs" / "channels" / "example"
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


def test_it_is_found_by_its_entry_point(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "cashdesk" not in registry.known()
    monkeypatch.syspath_prepend(str(installed))
    assert "cashdesk" in registry.known()
    assert registry.channel("cashdesk").name == "cashdesk"


def test_it_is_all_that_a_channel_is(installed: Path, tmp_path: Path) -> None:
    """Its own tests, where nothing of it lies about but what was installed: the exercise, and payments through a real
    centre that found it."""
    for path in EXAMPLE.glob("*.py"):
        shutil.copy(path, tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "--rootdir", tmp_path, "-p", "no:cacheprovider", tmp_path],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": os.pathsep.join((str(installed), str(ROOT / "src")))},
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout
