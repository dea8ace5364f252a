"""The fixtures of the plugin, also where the package is not installed; and projects outside of this repository, which
find them by the entry point of the wheel."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from oncepay.testing.plugin import oncepay, oncepay_ground
from tests.wheel import unpacked_wheel

__all__ = ["oncepay", "oncepay_ground"]

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return unpacked_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def outside(site: Path, tmp_path: Path) -> Run:
    """Runs pytest on a project that consists of these files, strict about warnings."""

    def run(files: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
        for name, text in files.items():
            (tmp_path / name).write_text(text, "utf-8")
        # Nor CI: there pytest says whole messages where it says one line elsewhere.
        not_its = ("PYTEST_", "ONCEPAY_", "COV_", "CI", "BUILD_NUMBER")
        environ = {k: v for k, v in os.environ.items() if not k.startswith(not_its)}
        strict = ["-W", "error", "--strict-markers", "-o", "asyncio_default_fixture_loop_scope=function"]
        return subprocess.run(
            [sys.executable, "-m", "pytest", *strict, *arguments],
            cwd=tmp_path, env={**environ, "PYTHONPATH": str(site)}, capture_output=True, text=True, check=False,
            timeout=120,
        )  # fmt: skip

    return run
