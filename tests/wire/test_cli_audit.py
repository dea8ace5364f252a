"""``oncepay audit`` as an operator runs it: words, exit codes, and books from a file."""

from __future__ import annotations

import json
from pathlib import Path

import apsw
import pytest

from oncepay.testing.ports import free_port
from tests.wire.cli import Shell, get, running, seed, wait
from tests.wire.test_cli_cases import ask


def test_an_empty_installation_is_sound(shell: Shell) -> None:
    said = shell.good("audit")
    assert "No money has moved." in said
    assert "Looked at no payments: all holds." in said
    assert shell.data("audit")["findings"] == []


def test_a_row_that_was_changed_by_hand_is_found(shell: Shell, tmp_path: Path) -> None:
    shell.good("app", "create", "shop")
    payment, _ = seed(shell)
    with apsw.Connection(str(tmp_path / "oncepay.db")) as link:
        link.execute('UPDATE payment SET doc = replace(doc, \'"minor":8800\', \'"minor":8800,"paid_by":"nothing"\')')
    code, said, _ = shell.run("audit")
    assert code == 1
    assert f"pay_{payment}" in said
    assert "it is open, and paid by nothing" in said
    code, said, _ = shell.run("audit", "--json")
    assert code == 1
    found = json.loads(said)
    assert found["rules"]["paid"] == 2
    assert {f["rule"] for f in found["findings"]} == {"paid"}
    assert shell.run("audit", "--since", "2100-01-01")[0] == 0, "no payment is of that time"


@pytest.mark.parametrize(
    "text", ["no,header\n1,2\n", "{}", "[{}]", '[{"number": "1", "paid": "x"}]', "\0", "number,paid\n1,2\n1,2\n"]
)
def test_books_that_cannot_be_read_are_wrong_usage(shell: Shell, tmp_path: Path, text: str) -> None:
    path = tmp_path / "books"
    path.write_text(text)
    code, _, said = shell.run("audit", "--books", str(path))
    assert code == 2, said
    assert "books" in said


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("number,paid,Refunded\n1,2,2\n", "Refunded"),
        ("number,paid, refunded\n1,2,2\n", "' refunded'"),
        ("number,paid,returned\n1,2,2\n", "returned"),
        ("number,paid\n1,2,2\n", "more cells"),
        ('[{"number": "1", "paid": 2, "Refunded": 2}]', "Refunded"),
    ],
)
def test_a_column_that_would_not_be_read_is_named(shell: Shell, tmp_path: Path, text: str, name: str) -> None:
    """Read as nothing, it would say that no money went back."""
    path = tmp_path / "books"
    path.write_text(text)
    code, _, said = shell.run("audit", "--books", str(path))
    assert code == 2, said
    assert name in said


@pytest.mark.parametrize("text", ["[" * 200_000, '{"orders": ' * 200_000])
def test_books_that_are_nested_without_end_are_wrong_usage(shell: Shell, tmp_path: Path, text: str) -> None:
    path = tmp_path / "books"
    path.write_text(text)
    code, _, said = shell.run("audit", "--books", str(path))
    assert (code, "nested" in said) == (2, True), said[-500:]


def test_a_window_that_ends_before_it_begins_is_wrong_usage(shell: Shell) -> None:
    for until in ("2026-11-01", "2026-12-01"):
        code, _, said = shell.run("audit", "--since", "2026-12-01", "--until", until)
        assert (code, "--until" in said) == (2, True)


def test_beside_a_centre_that_runs_with_the_books_of_its_channel(shell: Shell, tmp_path: Path) -> None:
    sandbox, centre = (f"127.0.0.1:{free_port()}" for _ in range(2))
    home = tmp_path / "sandbox"
    with running("sandbox", "--listen", sandbox, "--home", str(home), settings={}, log=tmp_path / "sandbox.log"):
        wait(lambda: get(f"http://{sandbox}/sandbox/clock") == 200, "the sandbox")
        key = shell.data("app", "create", "shop")["key"]
        shell.good("account", "add", "wx", "--channel", "wechat", "--from-sandbox", str(home / "sandbox.json"))
        with running("serve", "--listen", centre, settings=shell.settings, log=tmp_path / "centre.log"):
            wait(lambda: get(f"http://{centre}/readyz") == 200, "the centre")
            body = {"order_no": "A-1", "amount": {"minor": 8800, "currency": "CNY"}, "subject": "Tea",
                    "attempt": {"channel": "wechat", "method": "native"}}  # fmt: skip
            payment = ask("POST", f"http://{centre}/v1/payments", body, key)
            number = payment["attempt"]["id"][4:]
            ask("POST", f"http://{sandbox}/sandbox/pay", {"number": number, "channel": "wechat"})
            url = f"http://{centre}/v1/payments/{payment['id']}"
            wait(lambda: ask("GET", url, key=key)["status"] == "paid", "the money")
            books = ask("GET", f"http://{sandbox}/sandbox/books")
            taken = books["orders"][0]["transaction_id"]  # what a person reads in the channel's console
            for command in ("show", "explain"):
                assert shell.data(command, taken)["payment"]["order_no"] == "A-1"
                assert shell.run(command, taken[:-1] + "9")[0] == 3
                assert shell.run(command, "1" + taken)[0] == 3
            path = tmp_path / "books.json"
            path.write_text(json.dumps(books))
            assert "1 numbers of the books: all holds." in shell.good("audit", "--books", str(path))
            path = tmp_path / "books.csv"
            path.write_text(f"number,paid,refunded\n{number},8801,0\n")
            code, said, _ = shell.run("audit", "--books", str(path))
            assert code == 1
            assert f"by {number} came 8800, and the books say 8801" in said
