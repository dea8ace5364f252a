"""What unit tests of servers share."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest


@pytest.fixture
def servers_elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder for servers that no other test uses, outside of pytest's: those it closes, and nobody must pass."""
    with tempfile.TemporaryDirectory(prefix="oncepay-elsewhere-") as made:
        Path(made).chmod(0o711)
        monkeypatch.setenv("TMPDIR", made)
        monkeypatch.setattr(tempfile, "tempdir", None)
        yield Path(made)
