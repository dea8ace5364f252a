"""Commands that set up and look: what they say to people and programs, and with which code they end."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import pytest

from oncepay.sandbox.main import Sandbox
from oncepay.store.open import open_ledger
from tests.sandbox.vectors import vector_keys
from tests.wire.cli import Shell, seed


@pytest.fixture
def sandbox_json(tmp_path: Path) -> Path:
    async def write() -> None:
        async with Sandbox(home=tmp_path / "sandbox", keys=vector_keys()):
            pass

    asyncio.run(write())
    return tmp_path / "sandbox" / "sandbox.json"


def test_a_new_master_key_is_32_bytes_and_another_one_each_time(shell: Shell) -> None:
    keys = {shell.good("key", "new").strip() for _ in range(3)}
    assert len(keys) == 3
    assert {len(base64.b64decode(key, validate=True)) for key in keys} == {32}


def test_a_command_that_looks_changes_no_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "oncepay.db").touch()
    code, out, err = Shell(tmp_path, monkeypatch, capsys).run("app", "list")
    assert (code, out) == (6, "")
    assert "migration" in err


def test_an_app_has_two_keys_while_it_changes_them(shell: Shell) -> None:
    made = shell.data("app", "create", "shop", "--name", "Tea")
    assert made["key"].startswith("onc_")
    second = shell.data("app", "rotate-key", "shop")["key"]
    ends = [made["key"][-4:], second[-4:]]
    (listed,) = shell.data("app", "list")
    assert [key["hint"] for key in listed["keys"]] == ends[::-1]
    shell.good("app", "revoke-key", "shop", ends[0])
    (listed,) = shell.data("app", "list")
    assert [key["hint"] for key in listed["keys"]] == ends[1:]
    assert second not in shell.good("app", "list")


def test_policies_change_one_by_one(shell: Shell) -> None:
    shell.good("app", "create", "shop")
    changed = shell.data("app", "policies", "shop", "--late", "accept", "--private-network", "10.0.0.0/8")
    assert (changed["late"], changed["unclosable"], changed["private_networks"]) == (
        "accept",
        "switch",
        ["10.0.0.0/8"],
    )
    changed = shell.data("app", "policies", "shop", "--unclosable", "wait")
    assert (changed["late"], changed["unclosable"], changed["private_networks"]) == ("accept", "wait", ["10.0.0.0/8"])
    both = ("--no-private-networks", "--private-network", "10.0.0.0/8")
    code, _, err = shell.run("app", "policies", "shop", *both)
    assert (code, "--private-network" in err) == (2, True)
    assert shell.data("app", "policies", "shop", "--no-private-networks")["private_networks"] == []
    assert "accept" in shell.good("app", "policies", "shop")


def test_endpoints(shell: Shell) -> None:
    shell.good("app", "create", "shop")
    code, _, err = shell.run("endpoint", "add", "shop", "http://127.0.0.1:9/webhook")
    assert (code, err.count("\n")) == (2, 1)
    shell.good("app", "policies", "shop", "--private-network", "127.0.0.0/8")
    made = shell.data("endpoint", "add", "shop", "http://127.0.0.1:9/webhook")
    assert made["secret"].startswith("whsec_")
    endpoint_id = made["endpoint"]["id"]
    assert shell.data("endpoint", "rotate", "shop", endpoint_id)["secret"] != made["secret"]
    (listed,) = shell.data("endpoint", "list")
    assert (listed["id"], listed["secrets"], listed["disabled"]) == (endpoint_id, 2, None)
    assert shell.data("endpoint", "enable", "shop", endpoint_id)["id"] == endpoint_id
    shell.good("endpoint", "remove", "shop", endpoint_id)
    assert shell.data("endpoint", "list", "shop") == []
    assert shell.run("endpoint", "remove", "shop", endpoint_id)[0] == 3


def test_the_login_of_a_broker_comes_by_standard_input_and_is_not_shown(
    shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "amqps://shop:{}@mq.example.com/?queue=paid"
    shell.good("app", "create", "shop")
    monkeypatch.setattr("sys.stdin", io.StringIO(url.format("battery-staple") + "\n"))
    made = shell.data("endpoint", "add", "shop", "-")["endpoint"]
    assert made["url"] == "amqps://mq.example.com/?queue=paid"
    monkeypatch.setattr("sys.stdin", io.StringIO(url.format("another") + "\n"))
    assert "logs in anew" in shell.good("endpoint", "login", "shop", made["id"])
    code, _, err = shell.run("endpoint", "login", "shop", made["id"], "amqps://mq.example.com/?queue=other")
    assert (code, "another place" in err) == (2, True)
    assert "battery-staple" not in shell.good("endpoint", "list") + shell.good("endpoint", "list", "--json")


def test_an_account_from_a_sandbox(shell: Shell, sandbox_json: Path) -> None:
    made = shell.data("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(sandbox_json))
    block = json.loads(sandbox_json.read_text())["wechat"]
    assert made["identity"] == {"mchid": block["mchid"], "appid": block["appid"]}
    assert made["secrets"] == ["apiv3_key", "merchant_private_key_pem"]
    assert (
        shell.data("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(sandbox_json))["revision"] == 2
    )
    assert shell.data("account", "retire", "wx")["retired"] is True
    assert "retired" in shell.good("account", "list")


def test_new_keys_do_not_take_a_retired_account_back_into_use(shell: Shell, sandbox_json: Path) -> None:
    """Its refunds may go on for a year, and need keys that hold."""
    add = ("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(sandbox_json))
    shell.good(*add)
    shell.good("account", "retire", "wx")
    changed = shell.data(*add)
    assert (changed["retired"], changed["revision"]) == (True, 3)
    assert "it stays retired" in shell.good(*add)
    reopened = shell.data("account", "reopen", "wx")
    assert (reopened["retired"], reopened["revision"]) == (False, 5)
    assert "active" in shell.good("account", "list")
    assert "is in use" in shell.good("account", "reopen", "wx")
    assert shell.run("account", "reopen", "none")[0] == 3


def test_an_account_from_files_keeps_its_secrets_to_itself(shell: Shell, sandbox_json: Path, tmp_path: Path) -> None:
    block = json.loads(sandbox_json.read_text())["wechat"]
    names = ("merchant_private_key_pem", "apiv3_key", "public_key_pem")
    for name in names:
        (tmp_path / name).write_text(block[name] + "\n")
    given = [
        *("--channel", "wechat", "--identity", f"mchid={block['mchid']}", "--identity", f"appid={block['appid']}"),
        *("--setting", f"merchant_serial_no={block['merchant_serial_no']}"),
        *("--setting", f"public_key_id={block['public_key_id']}"),
        *("--setting", "base_urls=https://one.test", "--setting", "base_urls=https://two.test"),
        *("--setting-file", f"public_key_pem={tmp_path / 'public_key_pem'}"),
    ]
    secret = [part for name in names[:2] for part in ("--secret-file", f"{name}={tmp_path / name}")]
    code, _, err = shell.run("account", "add", "wx", *given, *secret[:2])
    assert code == 2
    assert "apiv3_key is missing" in err
    made = shell.data("account", "add", "wx", *given, *secret)
    assert made["settings"]["base_urls"] == ["https://one.test", "https://two.test"]
    shown = shell.good("account", "list", "--json") + shell.good("account", "list")
    stored = b"".join(path.read_bytes() for path in tmp_path.glob("oncepay.db*"))
    assert block["apiv3_key"] not in shown
    assert block["apiv3_key"].encode() not in stored
    assert b"PRIVATE KEY" not in stored


def test_the_identity_of_an_account_never_changes(shell: Shell, sandbox_json: Path) -> None:
    shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(sandbox_json))
    block = json.loads(sandbox_json.read_text())
    block["wechat"]["account"]["identity"]["mchid"] = "1900000109"
    sandbox_json.write_text(json.dumps(block))
    code, out, err = shell.run("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(sandbox_json))
    assert (code, out, err.count("\n")) == (4, "", 1)


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("app", "policies", "nobody"), 3, "no such app"),
        (("app", "create", "white space"), 2, "must be 1 to 64"),
        (("show", "pay_nonsense"), 2, "is not an id"),
        (("show", "pay_00000000000000000000000000"), 3, "no such payment"),
        (("show",), 2, "say one of"),
        (("show", "--app", "shop"), 2, "say one of"),
        (("cases", "show", "case_0"), 3, "no such case"),
        (("account", "add", "wx"), 2, "--channel"),
        (("account", "add", "wx", "--channel", "wechat", "--identity", "mchid"), 2, "NAME=VALUE"),
        (("account", "add", "wx", "--channel", "wechat", "--secret-file", "a=/nowhere"), 2, "No such file"),
        (("serve", "--workers", "2"), 6, "needs PostgreSQL"),
        (("serve", "--listen", "nonsense"), 6, "host:port"),
        (("nonsense",), 2, "No such command"),
    ],
)
def test_what_cannot_be_done_is_said_without_a_traceback(
    shell: Shell, arguments: tuple[str, ...], code: int, says: str
) -> None:
    ended, out, err = shell.run(*arguments)
    assert (ended, out) == (code, "")
    assert says.lower() in err.lower()
    assert "Traceback" not in err


def test_wrong_settings_are_all_named(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCEPAY_LEASE_S", "soon")
    monkeypatch.setenv("ONCEPAY_NONSENSE", "1")
    code, _, err = shell.run("app", "list")
    assert code == 6
    assert "ONCEPAY_LEASE_S" in err
    assert "ONCEPAY_NONSENSE" in err


def test_another_master_key_opens_nothing(shell: Shell, sandbox_json: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(sandbox_json))
    monkeypatch.setenv("ONCEPAY_MASTER_KEY", base64.b64encode(b"x" * 32).decode())
    code, _, err = shell.run("account", "list")
    assert code == 6
    assert "do not open with this master key" in err


def test_debug_shows_where(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONCEPAY_MASTER_KEY", "")
    with pytest.raises(Exception, match="MASTER_KEY"):
        shell.run("--debug", "app", "list")


# -- stories -----------------------------------------------------------------------------------------------------


def test_a_payment_is_shown_and_explained_by_any_of_its_names(shell: Shell) -> None:
    shell.good("app", "create", "shop")
    payment_id, case_id = seed(shell)
    names: list[tuple[str, ...]] = [
        (f"pay_{payment_id}",),
        (payment_id,),
        (f"att_{payment_id}00",),
        (f"{payment_id}00",),
        (f"evt_{payment_id}_1",),
        (f"case_{case_id}",),
        ("--app", "shop", "--order-no", "A-1"),
    ]
    for name in names:
        assert shell.data("show", *name)["payment"]["order_no"] == "A-1", name
    told: dict[str, Any] = shell.data("explain", f"pay_{payment_id}")
    assert told["next"][0]["why"] == "the deadline"
    assert 3_500 < told["next"][0]["in_s"] <= 3_600
    assert "88.00 CNY" in shell.good("show", payment_id)
    assert "payment.created" in shell.good("show", payment_id)
    assert "59 min" in shell.good("explain", payment_id)


def test_cases_are_listed_and_resolved_with_a_note(shell: Shell) -> None:
    shell.good("app", "create", "shop")
    _, case_id = seed(shell)
    assert f"case_{case_id}" in shell.good("cases", "list")
    assert shell.run("cases", "resolve", f"case_{case_id}", "--note", " ")[0] == 2
    assert shell.data("cases", "resolve", f"case_{case_id}", "--note", "called the bank")["status"] == "resolved"
    assert shell.run("cases", "resolve", case_id, "--note", "again")[0] == 4
    assert shell.data("cases", "list") == []
    assert [row["note"] for row in shell.data("cases", "list", "--all")] == ["called the bank"]
    assert "called the bank" in shell.good("cases", "show", case_id)


def test_after_a_restore_the_feed_starts_over(shell: Shell) -> None:
    shell.good("migrate")
    epochs = [asyncio.run(epoch_of(shell))]
    assert "starts over" in shell.good("restored")
    epochs.append(asyncio.run(epoch_of(shell)))
    assert json.loads(shell.good("restored", "--json"))["feed"] == "starts over"
    epochs.append(asyncio.run(epoch_of(shell)))
    assert len(set(epochs)) == 3


async def epoch_of(shell: Shell) -> str:
    ledger = await open_ledger(shell.settings["ONCEPAY_DATABASE_URL"], token=lambda: "", migrate=False)
    await ledger.close()
    return ledger.epoch
