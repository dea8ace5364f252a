"""What the project says of itself is so: commands, links, locked requirements, packaged files."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.tidy import house
from tests.tidy.house import ROOT, SRC

PROJECT: Final[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())
LOCKS: Final = ["requirements.lock", "requirements-dev.lock"]
APART: Final = "requirements-alipay-sdk.lock"  # a folder of its own: it need not agree with the others
PAGES: Final = house.files("*.md")


def locked(name: str) -> dict[str, str]:
    """Versions by package in one lock."""
    found = re.findall(r"^([A-Za-z0-9._-]+)==([^ ;\\]+)", (ROOT / name).read_text(), re.MULTILINE)
    return {canonicalize_name(package): version for package, version in found}


def commands(page: str) -> set[str]:
    """What a reader is told to type: lines of the shell blocks that start with make or oncepay."""
    blocks = re.findall(r"^```(?:sh|console)\n(.*?)^```", page, re.MULTILINE | re.DOTALL)
    lines = [line.removeprefix("$ ").strip() for block in blocks for line in block.splitlines()]
    return {" ".join(line.split()[:2]) for line in lines if re.match(r"(make|oncepay) \w", line)}


def test_reading_commands() -> None:
    page = "```sh\nmake demo          # all of it\n$ oncepay show ID\n```\ntext make tea\n```python\nmake = 1\n```\n"
    assert commands(page) == {"make demo", "oncepay show"}


@pytest.mark.parametrize("command", sorted({c for page in PAGES for c in commands(page.read_text())}))
def test_every_command_in_the_docs_exists(command: str) -> None:
    program, word = command.split()
    if program == "make":
        targets = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE)
        assert word in targets
    else:
        oncepay = Path(sys.executable).with_name("oncepay")
        done = subprocess.run([oncepay, word, "--help"], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", PAGES, ids=house.name_of)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?![a-z]+:)([^)#\s]*)(?:#([^)\s]+))?\)", page.read_text())
    assert [link for link, _ in links if not (page.parent / link).exists()] == []
    lost = [(link, head) for link, head in links if head and head not in heads(page.parent / link if link else page)]
    assert lost == []


def heads(page: Path) -> set[str]:
    """What may be linked to within a page: its headings, written as GitHub writes them."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    found = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in found}


@pytest.mark.parametrize("name", [*LOCKS, APART])
def test_a_lock_names_no_index_and_hashes_everything(name: str) -> None:
    text = (ROOT / name).read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|file:|(?<=\s)/\w", text), "run: make lock"
    requirements = re.split(r"\n(?=[A-Za-z0-9])", re.sub(r"^ *#.*\n", "", text, flags=re.MULTILINE).strip())
    assert [r.split()[0] for r in requirements if "--hash=sha256:" not in r] == []


@pytest.mark.parametrize(
    ("lock", "wanted"),
    [
        (lock, wanted)
        for lock, groups in [
            ("requirements.lock", ["server", "demo", "postgres"]),
            ("requirements-dev.lock", ["server", "demo", "postgres", "redis", "rabbitmq", "kafka", "drill", "dev"]),
        ]
        for wanted in [
            *PROJECT["build-system"]["requires"],
            *PROJECT["project"]["dependencies"],
            *(w for group in groups for w in PROJECT["project"]["optional-dependencies"][group]),
        ]
        if not wanted.startswith("oncepay")
    ]
    + [(APART, wanted) for wanted in PROJECT["dependency-groups"]["alipay-sdk"]],
)
def test_a_lock_holds_what_the_project_asks_for(lock: str, wanted: str) -> None:
    requirement = Requirement(wanted)
    version = locked(lock).get(canonicalize_name(requirement.name), "")
    assert version, "run: make lock"
    assert requirement.specifier.contains(version), "run: make lock"


def test_both_locks_agree() -> None:
    runtime, dev = (locked(name) for name in LOCKS)
    assert {name: dev.get(name) for name in runtime} == runtime


def test_every_file_of_the_package_is_packaged() -> None:
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["oncepay"]
    others = [
        p.relative_to(SRC).as_posix() for p in house.files("src/*") if p.suffix != ".py" and p.is_relative_to(SRC)
    ]
    assert [name for name in others if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []
