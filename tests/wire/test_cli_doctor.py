"""``doctor`` finds what is wrong, and says nothing of what is not."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import msgspec
import pytest
from prometheus_client import REGISTRY

from oncepay.config import Config
from oncepay.domain.errors import Unavailable
from oncepay.http import app
from oncepay.ports import Answered, Request
from oncepay.testing.services import valkey
from tests.wire.cli import Shell, get, running, wait

OPERATING = (Path(__file__).parents[2] / "docs" / "operating.md").read_text(encoding="utf-8")
Capture = pytest.CaptureFixture[str]


def levels(shell: Shell, *arguments: str) -> tuple[int, dict[str, list[Any]]]:
    """Exit code, and by check what was found."""
    code, out, err = shell.run("doctor", "--json", *arguments)
    assert out, err
    found: dict[str, list[Any]] = {}
    for finding in json.loads(out)["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return code, found


def test_a_channel_that_is_there_and_one_that_went_away(shell: Shell, tmp_path: Path) -> None:
    home = tmp_path / "sandbox"
    with running(
        "sandbox", "--listen", "127.0.0.1:0", "--home", str(home), settings={}, log=tmp_path / "log"
    ) as sandbox:
        url = sandbox.wait_for("sandbox http").split()[1]
        wait(lambda: get(f"{url}/sandbox/clock") == 200, "the sandbox")
        shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(home / "sandbox.json"))
        code, found = levels(shell)
        assert code == 0
        assert [finding["level"] for finding in found["account wx"]] == ["ok", "ok"]
        assert "signature verifies" in found["account wx"][1]["text"]
    code, found = levels(shell)
    assert code == 1
    assert [finding["level"] for finding in found["account wx"]] == ["ok", "failed"]
    assert levels(shell, "--offline")[0] == 0
    assert "1 of" in shell.run("doctor")[1]


def test_a_wrong_master_key_is_found_for_each_account(
    shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "sandbox"
    with running(
        "sandbox", "--listen", "127.0.0.1:0", "--home", str(home), settings={}, log=tmp_path / "log"
    ) as sandbox:
        sandbox.wait_for("sandbox http")
    shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(home / "sandbox.json"))
    monkeypatch.setenv("ONCEPAY_MASTER_KEY", base64.b64encode(b"x" * 32).decode())
    code, found = levels(shell, "--offline")
    assert code == 1
    assert [finding["level"] for finding in found["account wx"]] == ["failed"]
    monkeypatch.delenv("ONCEPAY_MASTER_KEY")
    code, found = levels(shell, "--offline")
    assert (code, found["master key"][0]["level"]) == (1, "failed")
    assert found["database"][0]["level"] == "ok"


def test_tables_that_are_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    code, found = levels(Shell(tmp_path, monkeypatch, capsys), "--offline")
    assert (code, found["database"][0]["level"]) == (1, "failed")


def test_secrets_are_shown_as_set_or_not(shell: Shell) -> None:
    out = shell.good("doctor", "--offline")
    assert shell.settings["ONCEPAY_MASTER_KEY"] not in out
    assert "ONCEPAY_MASTER_KEY " in out


def test_every_setting_is_documented() -> None:
    named = set(re.findall(r"^\| `(ONCEPAY_\w+)`", OPERATING, re.MULTILINE))
    assert named == {f"ONCEPAY_{field.name.upper()}" for field in msgspec.structs.fields(Config)}


@pytest.mark.parametrize("field", msgspec.structs.fields(Config), ids=lambda field: field.name)
def test_the_defaults_are_those_that_the_page_names(field: msgspec.structs.FieldInfo) -> None:
    told = re.search(rf"^\| `ONCEPAY_{field.name.upper()}` \| (?:`([^`]*)`)?", OPERATING, re.MULTILINE)
    assert told is not None
    if field.name != "public_url":  # made of another
        assert msgspec.convert(told[1] or "", type=field.type, strict=False) == field.default


def test_every_metric_is_documented() -> None:
    known = {family.name for family in REGISTRY.collect() if family.name.startswith("oncepay_")}
    assert app.REQUESTS._name in known
    assert known == {name.removesuffix("_total") for name in re.findall(r"^\| `(oncepay_\w+)", OPERATING, re.MULTILINE)}


def test_a_postgresql_server_is_examined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Capture, postgres_database: str
) -> None:
    shell = Shell(tmp_path, monkeypatch, capsys, database_url=postgres_database)
    shell.good("migrate")
    code, found = levels(shell, "--offline")
    assert code == 0
    assert found["fsync"][0]["level"] == "ok"
    assert found["wal_compression"][0]["level"] in {"ok", "advice"}
    assert found["clock against the database"][0]["level"] == "ok"


def test_a_redis_is_looked_at_and_its_password_is_not_shown(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    with valkey() as server:
        url = server.url.replace("redis://", "redis://ann:hidden@")
        monkeypatch.setenv("ONCEPAY_REDIS_URL", server.url)
        _, found = levels(shell, "--offline")
        assert found["Redis"][0]["level"] == "ok"
    code, found = levels(shell, "--offline")
    assert (code, found["Redis"][0]["level"]) == (1, "failed")
    monkeypatch.setenv("ONCEPAY_REDIS_URL", url)
    _, out, err = shell.run("doctor", "--offline", "--json")
    assert "redis://ann@127.0.0.1" in out
    assert "hidden" not in out + err


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("ONCEPAY_REDIS_URL", "http://127.0.0.1", "must start with redis://"),
        ("ONCEPAY_CALLS_PER_S", "-1", "must be 0"),
        ("ONCEPAY_CALLS_PER_S", "0.01", "must be 0"),
        ("ONCEPAY_CALLS_PER_S", "1000001", "or 0.1 to 1000000"),
        ("ONCEPAY_LEASE_S", "86401", "at most a day"),
    ],
)
def test_what_is_shared_is_checked_at_the_start(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, name: str, value: str, says: str
) -> None:
    monkeypatch.setenv(name, value)
    code, _, err = shell.run("doctor")
    assert code == 6
    assert f"{name}: " in err
    assert says in err


@pytest.mark.parametrize("date", ["Sat", "", "Sat, 28 Nov 99999 00:00:00 GMT", "0"])
def test_a_strange_date_is_a_finding(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, date: str) -> None:
    async def send(_self: object, _request: Request, _seconds: float) -> Answered:
        return Answered(status=400, headers={"date": date}, body=b"")

    home = tmp_path / "sandbox"
    with running(
        "sandbox", "--listen", "127.0.0.1:0", "--home", str(home), settings={}, log=tmp_path / "log"
    ) as sandbox:
        sandbox.wait_for("sandbox http")
    shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(home / "sandbox.json"))
    monkeypatch.setattr("oncepay.transport.HttpTransport.send", send)
    code, found = levels(shell)
    (clock,) = next(findings for check, findings in found.items() if check.startswith("clock against"))
    assert (code, clock["level"]) == (0, "advice")
    assert repr(date) in clock["text"]
    assert len(found["account wx"]) == 2


@pytest.mark.parametrize(
    ("read", "check"), [("stats", "database"), ("accounts", "accounts"), ("endpoints", "apps"), ("apps", "apps")]
)
def test_a_database_that_dies_meanwhile_is_a_finding(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, read: str, check: str
) -> None:
    """What was found before, and what can be found without it, is told."""

    async def away(*_: object) -> None:
        raise Unavailable("the database does not answer")

    monkeypatch.setattr(f"oncepay.store.sqlite.SqliteLedger.{read}", away)
    code, found = levels(shell)
    assert code == 1
    assert found[check][-1] == {"level": "failed", "check": check, "text": "the database does not answer"}
    assert {"master key", "public URL", "our own door"} <= set(found)
