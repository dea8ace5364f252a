"""The rules of the house that no tool we already use can hold. A complaint names file, line and cure."""

from __future__ import annotations

import pytest

from tests.tidy import house
from tests.tidy.house import FILE_LINES_MAX, FUNCTION_LINES_MAX, MACHINE, SRC, UNFINISHED, VENDOR, VENDORS

SOURCES = [path for path in house.modules() if path.is_relative_to(SRC)]
BINARY = {".png", ".ico", ".gz", ".woff2", ".zip", ".der", ".p12"}


def test_there_is_something_to_look_at() -> None:
    assert SRC / "__init__.py" in SOURCES


def test_modules_are_short_and_say_what_they_are_for() -> None:
    assert [c for p in house.modules() for c in house.complaints_of_shape(house.name_of(p), p.read_text())] == []


def test_sql_stands_in_sql_files() -> None:
    assert [c for p in SOURCES for c in house.complaints_of_sql(house.name_of(p), p.read_text())] == []


def test_nothing_is_left_for_later() -> None:
    cure = "finish it, or leave it out"
    found = [c for p in SOURCES for c in house.complaints_of_lines(house.name_of(p), p.read_text(), UNFINISHED, cure)]
    assert found == []


def test_no_file_knows_the_machine_it_was_written_on() -> None:
    cure = "a path of one machine means nothing on another"
    texts = [(p, p.read_text()) for p in house.files("*") if p.suffix not in BINARY]
    assert [c for p, text in texts for c in house.complaints_of_lines(house.name_of(p), text, MACHINE, cure)] == []


def test_no_vendor_is_known_outside_its_own_rooms() -> None:
    cure = "what a channel can do is data: ask its capabilities, or put it into its folder"
    texts = [(p, p.read_text()) for p in house.files("src/*") if p.is_relative_to(SRC) and house.knows_no_vendor(p)]
    assert SRC / "cli" / "accounts.py" in [p for p, _ in texts]
    assert [c for p, text in texts for c in house.complaints_of_lines(house.name_of(p), text, VENDOR, cure)] == []


def test_every_vendor_is_looked_for() -> None:
    folders = {path.parent.name for path in SOURCES if path.match("channels/*/__init__.py")}
    assert folders == VENDORS.keys()


# -- the rules themselves: each is broken here once ------------------------------------------------


def long_function(lines: int) -> str:
    """A function of that many lines, in a module with a docstring."""
    return '"""For a test."""\n' + "def run():\n" + "    pass\n" * (lines - 1)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", None),
        ('"""What for."""\n', None),
        ("import os\n", "a.py:1: say in a docstring"),
        ('"""What for."""\n' + "\n" * (FILE_LINES_MAX - 1), None),
        ('"""What for."""\n' + "\n" * FILE_LINES_MAX, f"{FILE_LINES_MAX + 1} lines"),
        (long_function(FUNCTION_LINES_MAX), None),
        (long_function(FUNCTION_LINES_MAX + 1), "a.py:2: run has"),
        (long_function(FUNCTION_LINES_MAX + 1).replace("def", "async def"), "a.py:2: run has"),
    ],
)
def test_the_rule_of_shape(text: str, says: str | None) -> None:
    found = list(house.complaints_of_shape("a.py", text))
    assert found == [] if says is None else says in found[0]


@pytest.mark.parametrize(
    ("text", "bad"),
    [
        ('"""SELECT in prose of a docstring."""\n', False),
        ('def f():\n    """SELECT is run by the caller."""\n', False),
        ("raise ValueError('select one of these')\n", False),
        ("run('BEGIN IMMEDIATE')\n", False),
        ("run('SELECT 1')\n", True),
        ("run(f'SELECT {column} FROM payment')\n", True),
        ("STATEMENT = '''\nUPDATE payment\n   SET rev = 2'''\n", True),
        ("run('insert'); run('INSERT INTO payment VALUES (1)')\n", True),
    ],
)
def test_the_rule_of_sql(text: str, bad: bool) -> None:
    assert bool(list(house.complaints_of_sql("a.py", text))) is bad


@pytest.mark.parametrize("word", ["TODO", "FIXME", "raise NotImplementedError"])
def test_the_rule_of_finishing(word: str) -> None:
    assert list(house.complaints_of_lines("a.py", f"# fine\n# {word}: more\n", UNFINISHED, "")) == [f"a.py:2: {word}; "]


@pytest.mark.parametrize(
    ("line", "bad"),
    [
        ('if channel == "wechat":', True),
        ("# WeChat Pay answers late", True),
        ("WECHATPAY2_SHA256", True),
        ("https://qr.95516.com/1", True),
        ("支付宝", True),
        ('raise ValueError("pay again")', False),
        ("channel.capabilities.closes", False),
    ],
)
def test_the_rule_of_vendors(line: str, bad: bool) -> None:
    assert bool(list(house.complaints_of_lines("a.py", line, VENDOR, ""))) is bad


@pytest.mark.parametrize(
    ("name", "knows"),
    [
        ("engine/step.py", False),
        ("channels/texts.py", False),
        ("cli/accounts.py", False),
        ("testing/conformance/kit.py", False),
        ("channels/registry.py", True),
        ("channels/wechat/wire.py", True),
        ("sandbox/alipay/api.py", True),
        ("cli/demo/shop.py", True),
        ("cli/drill/payers.py", True),
    ],
)
def test_which_rooms_may_name_a_vendor(name: str, knows: bool) -> None:
    assert house.knows_no_vendor(SRC / name) is not knows


@pytest.mark.parametrize(
    ("line", "bad"),  # "@" stands for the name of a folder of homes, or this very file would be complained about
    [
        ("see /@/ann/notes", True),
        ('"/@/key.pem"', True),
        ("~/@/x and $HOME/@/x", False),
        ("https://example.com/@/page", False),
        ("/var/lib/@/oncepay", False),
        ("/@", False),
    ],
)
@pytest.mark.parametrize("home", ["home", "root", "Users"])
def test_the_rule_of_machines(line: str, home: str, bad: bool) -> None:
    assert bool(list(house.complaints_of_lines("a.md", line.replace("@", home), MACHINE, ""))) is bad
