"""What a careless start may cost: a database that is not the one that is meant, or none at all."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.wire.cli import Shell


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(tmp_path, monkeypatch, capsys)


@pytest.mark.parametrize(
    "url", ["sqlite:///", "sqlite://", "sqlite:", "sqlite:///?wal_max_mb=8", "sqlite://:memory:", "sqlite:///:memory:"]
)
def test_a_centre_that_would_forget_all_at_its_end_does_not_start(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ONCEPAY_DATABASE_URL", url)
    for command in ("migrate", "work", "restored"):
        code, out, err = shell.run(command)
        assert (code, out) == (6, "")
        assert "ONCEPAY_DATABASE_URL" in err
        assert "forgets every payment" in err


@pytest.mark.parametrize("url", ["", "oncepay.db", "mysql://ann:hush@db/pay", "sqlite:/srv/x.db", "sqlite://hush.db"])
def test_a_database_url_that_is_none_is_a_wrong_setting(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, url: str
) -> None:
    monkeypatch.setenv("ONCEPAY_DATABASE_URL", url)
    monkeypatch.setenv("ONCEPAY_LOG_LEVEL", "loud")
    code, out, err = shell.run("serve", "--listen", "127.0.0.1:0")
    assert (code, out) == (6, "")
    assert "ONCEPAY_DATABASE_URL: must be" in err
    assert "ONCEPAY_LOG_LEVEL" in err
    assert "hush" not in err
