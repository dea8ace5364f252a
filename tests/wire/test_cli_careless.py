"""What a careless start may cost: a database that is not the one that is meant, or none at all."""

from __future__ import annotations

import base64
from pathlib import Path

import apsw
import pytest

from oncepay.config import ConfigInvalid, from_env, read_master_key
from oncepay.sandbox.main import place_of, url_of
from tests.wire.cli import Shell, running


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


@pytest.mark.parametrize(
    "arguments",
    [("restored",), ("app", "list"), ("cases", "list"), ("audit",), ("show", "pay_00000000000000000000000000")],
)
def test_a_command_in_the_wrong_folder_makes_no_database_there(
    shell: Shell, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    code, out, err = shell.run(*arguments)
    assert (code, out) == (6, "")
    assert f"there is no database {tmp_path / 'oncepay.db'}" in err
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_makes_none_either(shell: Shell, tmp_path: Path) -> None:
    code, out, _ = shell.run("doctor", "--offline")
    assert code == 1
    assert "there is no database" in out
    assert list(tmp_path.iterdir()) == []


def test_a_restore_is_not_said_of_a_database_without_tables(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / "oncepay.db").touch()
    code, out, err = shell.run("restored")
    assert (code, out) == (6, "")
    assert "oncepay migrate" in err


@pytest.mark.parametrize(("name", "why"), [("no/such/folder/x.db", "cannot be written"), ("x.key", "not a database")])
def test_a_file_that_cannot_be_the_database_is_named(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, why: str
) -> None:
    (tmp_path / "x.key").write_text("0123456789" * 100)
    monkeypatch.setenv("ONCEPAY_DATABASE_URL", f"sqlite:///{tmp_path / name}")
    code, out, err = shell.run("migrate")
    assert (code, out) == (6, "")
    assert f"{tmp_path / name}: " in err
    assert why in err


def test_a_database_of_another_program_is_named(shell: Shell, tmp_path: Path) -> None:
    with apsw.Connection(str(tmp_path / "oncepay.db")) as link:
        link.execute("CREATE TABLE payment (id)")
    code, out, err = shell.run("migrate")
    assert (code, out) == (6, "")
    assert f"{tmp_path / 'oncepay.db'}: " in err
    assert "table payment already exists" in err


def test_a_server_that_cannot_be_reached_is_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCEPAY_DATABASE_URL", "postgresql://ann:hush@127.0.0.1:1/pay")
    code, out, err = shell.run("app", "list")
    assert (code, out) == (5, "")
    assert "the database at 127.0.0.1:1 cannot be reached" in err
    assert "hush" not in err


def test_a_password_that_was_not_encoded_is_not_quoted(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCEPAY_DATABASE_URL", "postgresql://ann:hush/hush@db:5432/pay")
    code, out, err = shell.run("app", "list")
    assert (code, out) == (2, "")
    assert "%2F" in err
    assert "hush" not in err


@pytest.mark.parametrize(
    ("listen", "code"),
    [("192.0.2.1:8490", 5), ("nowhere.invalid:8490", 5), ("127.0.0.1:65536", 2), ("8490", 2), (":8490", 2)],
)
def test_where_the_sandbox_cannot_listen_is_said(shell: Shell, tmp_path: Path, listen: str, code: int) -> None:
    ended, out, err = shell.run("sandbox", "--home", str(tmp_path / "home"), "--listen", listen)
    assert (ended, out) == (code, "")
    assert listen in err


def test_a_folder_is_of_one_sandbox(shell: Shell, tmp_path: Path) -> None:
    """A second one took the journal away from the first: its orders were gone at its next start."""
    home, log = str(tmp_path / "home"), tmp_path / "log"
    with running("sandbox", "--listen", "127.0.0.1:0", "--home", home, settings={}, log=log) as first:
        first.wait_for("settings")
        kept = (tmp_path / "home" / "sandbox.json").read_bytes()
        with running("sandbox", "--listen", "127.0.0.1:0", "--home", home, settings={}, log=tmp_path / "2") as second:
            assert second.ends() == 1
            assert f"{home}: another sandbox" in second.said()
        assert (tmp_path / "home" / "sandbox.json").read_bytes() == kept
    with running("sandbox", "--listen", "127.0.0.1:0", "--home", home, settings={}, log=tmp_path / "3") as third:
        third.wait_for("settings")


@pytest.mark.parametrize(
    ("listen", "place", "url"),
    [
        ("127.0.0.1:8490", ("127.0.0.1", 8490), "http://127.0.0.1:8490"),
        ("[::1]:8490", ("::1", 8490), "http://[::1]:8490"),
        ("::1:8490", ("::1", 8490), "http://[::1]:8490"),
        ("[::]:8490", ("::", 8490), "http://[::1]:8490"),
        ("0.0.0.0:8490", ("0.0.0.0", 8490), "http://127.0.0.1:8490"),
    ],
)
def test_the_sandbox_listens_by_ipv6_too(listen: str, place: tuple[str, int], url: str) -> None:
    assert place_of(listen) == place
    assert url_of(*place) == url


def test_where_channels_reach_a_centre_that_listens_by_ipv6() -> None:
    assert from_env({"ONCEPAY_LISTEN": "::1:8480"}).url == "http://[::1]:8480"
    assert from_env({"ONCEPAY_LISTEN": "[::1]:8480"}).url == "http://[::1]:8480"


@pytest.mark.parametrize("text", ["", " \n"])
def test_a_key_file_without_a_key_is_named(tmp_path: Path, text: str) -> None:
    """An interrupted ``oncepay key new > master.key`` leaves an empty one."""
    file = tmp_path / "master.key"
    file.write_text(text)
    with pytest.raises(ConfigInvalid, match=f"ONCEPAY_MASTER_KEY_FILE {file} is empty"):
        read_master_key(from_env({"ONCEPAY_MASTER_KEY_FILE": str(file)}))


def test_two_master_keys_are_refused_unless_they_are_one(tmp_path: Path) -> None:
    """One won in silence: what it sealed could not be opened any more once its variable was gone."""
    one, other = (base64.b64encode(letter * 32).decode() for letter in (b"a", b"b"))
    file = tmp_path / "master.key"
    both = {"ONCEPAY_MASTER_KEY": one, "ONCEPAY_MASTER_KEY_FILE": str(file)}
    file.write_text(other + "\n")
    with pytest.raises(ConfigInvalid, match=f"ONCEPAY_MASTER_KEY and ONCEPAY_MASTER_KEY_FILE {file} hold different"):
        read_master_key(from_env(both))
    file.write_text(one + "\n")
    assert read_master_key(from_env(both)) == b"a" * 32
    file.unlink()
    with pytest.raises(ConfigInvalid, match=f"ONCEPAY_MASTER_KEY_FILE {file}: .*No such file"):
        read_master_key(from_env(both))
