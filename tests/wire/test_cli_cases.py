"""``oncepay cases`` as an operator uses it: on the database of a centre that runs, with calls to a channel."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oncepay.domain.errors import Unavailable
from oncepay.testing.ports import free_port
from tests.wire.cli import Shell, get, running, seed, wait


@pytest.fixture
def shell(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> Shell:
    """Ann's."""
    monkeypatch.setenv("LOGNAME", "ann")
    return shell


def ask(method: str, url: str, body: Any = None, key: str = "") -> Any:
    """One call; its answer."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {key}"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, headers=headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as answer:
        return json.load(answer)


class Place:
    """A sandbox and a centre that run, and what an operator types."""

    def __init__(self, shell: Shell, sandbox: str, centre: str, key: str) -> None:
        self.shell, self.sandbox, self.centre, self.key = shell, sandbox, centre, key

    def pays(self, order_no: str, fault: dict[str, Any]) -> str:
        """A payment that somebody pays while something goes wrong: its id."""
        body = {"order_no": order_no, "amount": {"minor": 8800, "currency": "CNY"}, "subject": "Tea",
                "attempt": {"channel": "wechat", "method": "native"}}  # fmt: skip
        payment = ask("POST", f"{self.centre}/v1/payments", body, self.key)
        ask("PUT", f"{self.sandbox}/sandbox/faults", {"once": [fault]})
        ask("POST", f"{self.sandbox}/sandbox/pay", {"number": payment["attempt"]["id"][4:], "channel": "wechat"})
        return str(payment["id"])

    def case(self, payment: str) -> str:
        """The id of its one open case, as soon as there is one."""
        found: list[str] = []

        def there() -> bool:
            found[:] = [row["id"] for row in self.shell.data("cases", "list") if row["payment"] == payment]
            return bool(found)

        wait(there, "a case")
        return found[0]

    def reads(self, payment: str) -> Any:
        return ask("GET", f"{self.centre}/v1/payments/{payment}", key=self.key)


@pytest.fixture
def place(shell: Shell, tmp_path: Path) -> Iterator[Place]:
    sandbox, centre = (f"127.0.0.1:{free_port()}" for _ in range(2))
    home = tmp_path / "sandbox"
    with running("sandbox", "--listen", sandbox, "--home", str(home), settings={}, log=tmp_path / "sandbox.log"):
        wait(lambda: get(f"http://{sandbox}/sandbox/clock") == 200, "the sandbox")
        key = shell.data("app", "create", "shop")["key"]
        shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(home / "sandbox.json"))
        # without the loop that asks, so that what is asked here is asked by the operator
        arguments = ("serve", "--listen", centre, "--no-work")
        with running(*arguments, settings=shell.settings, log=tmp_path / "centre.log"):
            wait(lambda: get(f"http://{centre}/readyz") == 200, "the centre")
            yield Place(shell, f"http://{sandbox}", f"http://{centre}", key)


def test_an_operator_looks_asks_and_accepts_while_the_centre_runs(place: Place) -> None:
    shell = place.shell
    wrong = {"fault": "notify_wrong_amount", "amount": 1}
    asked, accepted = place.pays("A-1", wrong), place.pays("A-2", wrong)
    first, second = place.case(asked), place.case(accepted)

    listed = shell.good("cases", "list")
    assert "0.01 CNY" in listed
    assert "query in" in listed
    assert f"pay_{asked[4:]}" in listed

    said = shell.good("cases", "query", first, "--reason", "The payer called.")
    assert "is asked about" in said
    assert place.reads(asked)["status"] == "paid", "the centre that runs knows what the operator's question brought"
    assert shell.run("cases", "accept", first, "--reason", "x", "--evidence", "y")[0] == 4

    # asked first, the channel would say what is true: that it was paid in full
    ask("PUT", f"{place.sandbox}/sandbox/faults", {"once": [{"fault": "drop_before", "call": "query"}]})
    done = shell.data(
        "cases", "accept", second, "--reason", "It is theirs.", "--evidence", "statement 7", "--actor", "Bob"
    )
    assert (done["status"], done["note"], done["app"]) == ("resolved", "It is theirs.", "shop")
    assert [(act["verb"], act["actor"], act["evidence"]) for act in done["acts"]] == [("accept", "Bob", "statement 7")]
    seen = place.reads(accepted)
    assert (seen["status"], seen["kept_minor"]) == ("paid", 1)
    code, out, err = shell.run(
        "cases", "accept", second, "--reason", "It is theirs.", "--evidence", "statement 7", "--json"
    )
    assert (code, json.loads(out)["acts"]) == (0, done["acts"])
    assert "done before" in err

    shell.good("cases", "note", first, "--reason", "Told the payer.")
    shell.good("cases", "resolve", first, "--reason", "It was paid.")
    assert [act["actor"] for act in shell.data("cases", "show", first)["acts"]] == ["ann"] * 3
    told = shell.good("show", accepted)
    assert "case.accepted" in told
    assert "did=0.01 CNY did arrive" in told
    assert shell.data("cases", "list") == []


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("query", "case_0", "--reason", "x"), 3, "no such case"),
        (("query", "ID"), 2, "--reason"),
        (("query", "ID", "--reason", " "), 2, "reason is empty"),
        (("query", "ID", "--reason", "x", "--actor", "app:shop"), 2, "app: is for"),
        (("query", "ID", "--reason", "x", "--minor", "1"), 2, "no such option"),
        (("query", "ID", "--reason", "x"), 4, "nothing of it is in doubt"),
        (("close", "ID", "--reason", "x", "--cancel"), 4, "nothing of it is in doubt"),
        (("accept", "ID", "--reason", "x"), 2, "say what shows it"),
        (("accept", "ID", "--reason", "x", "--trade-no", "1", "--minor", "0"), 2, "--minor"),
        (("accept", "ID", "--reason", "x", "--trade-no", "1"), 4, "no attempt"),
        (("settle", "ID", "--reason", "x"), 2, "say what shows it"),
        (("refund", "ID", "--reason", "x"), 4, "no channel has said"),
        (("retry", "ID", "--reason", "x"), 4, "no refund of ours"),
    ],
)
def test_what_makes_no_sense_is_one_line_and_leaves_no_trace(
    shell: Shell, arguments: tuple[str, ...], code: int, says: str
) -> None:
    shell.good("app", "create", "shop")
    _, case_id = seed(shell)
    given = [case_id if argument == "ID" else argument for argument in arguments]
    ended, out, err = shell.run("cases", *given)
    assert (ended, out) == (code, ""), err
    assert says in err.lower()
    assert "Traceback" not in err
    assert shell.data("cases", "show", case_id)["acts"] == []


@pytest.mark.parametrize("verb", ["note", "resolve"])
def test_what_was_done_is_said_to_be_done_where_it_cannot_be_read_back(
    shell: Shell, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    shell.good("app", "create", "shop")
    _, case_id = seed(shell)
    with monkeypatch.context() as patched:
        patched.setattr("oncepay.http.views.case_seen", _away)
        code, out, err = shell.run("cases", verb, case_id, "--reason", "Nothing moved.")
        assert (code, out) == (0, "")
        assert "It was done" in err
        assert shell.data("cases", "note", case_id, "--reason", "Later.") == {"id": f"case_{case_id}", "done": True}
    acts = [act["verb"] for act in shell.data("cases", "show", case_id)["acts"]]
    assert acts == [verb, "note"]


async def _away(*_: Any) -> Any:
    raise Unavailable("the database does not answer")


def test_cases_of_an_app_that_is_not_there(shell: Shell) -> None:
    assert shell.run("cases", "list", "--app", "nosuch")[:2] == (3, "")
