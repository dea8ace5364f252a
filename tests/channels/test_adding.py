"""The page that says how to add a channel says what is so: its pieces are pieces of what is built, installed and run."""

from __future__ import annotations

import inspect
import re
from textwrap import dedent, indent
from typing import Final

import msgspec
import pytest

from oncepay.domain.attempt import Fact
from oncepay.domain.capabilities import Capabilities, Method
from oncepay.ports import Channel
from oncepay.testing import ChannelBroken, exercise_channel
from oncepay.testing.conformance import RULES
from tests.channels.broken_desk import KIT, calling
from tests.channels.test_elsewhere import ADDING, EXAMPLE

PAGE: Final = ADDING.read_text()
BLOCKS: Final = re.findall(r"^ *```(\w*)\n(.*?)^ *```$", PAGE, re.MULTILINE | re.DOTALL)
QUOTED: Final = [dedent(text) for language, text in BLOCKS if language in {"python", "toml"}]
SOURCES: Final = [path.read_text() for path in (*EXAMPLE.rglob("*.py"), EXAMPLE / "pyproject.toml")]


def test_there_is_something_quoted() -> None:
    assert len(QUOTED) > 10


@pytest.mark.parametrize("quoted", QUOTED, ids=lambda text: text.splitlines()[0])
def test_what_is_quoted_is_what_runs(quoted: str) -> None:
    depths = [indent(quoted, " " * depth) for depth in (0, 4, 8, 12)]
    assert any(text in source for text in depths for source in SOURCES)


@pytest.mark.parametrize("record", [Capabilities, Method])
def test_all_that_a_channel_can_say_of_itself_is_explained(record: type[msgspec.Struct]) -> None:
    assert [name for name in record.__struct_fields__ if f"`{name}`" not in PAGE] == []


def test_all_that_a_channel_does_is_explained() -> None:
    methods = [name for name, _ in inspect.getmembers(Channel, inspect.isfunction) if not name.startswith("_")]
    assert [name for name in methods if f"`{name}`" not in PAGE] == []


def test_all_that_is_asked_of_a_channel_is_told() -> None:
    told = re.findall(r"^\d+\. (.+)$", PAGE, re.MULTILINE)
    assert told == [rule.__doc__ for rule in RULES]


def test_what_is_broken_is_told_so() -> None:
    (shown,) = [text for language, text in BLOCKS if not language]
    with pytest.raises(ChannelBroken) as broken:
        exercise_channel(lambda: calling(Fact.ABSENT, lambda a: a.status == 404), KIT)
    assert set(shown.splitlines()) <= set(str(broken.value).splitlines())
