"""``pip install oncepay`` is the client and nothing else: the wheel is built and imported where only its own
requirements are, without the network."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from oncepay.__main__ import SERVER
from oncepay.cli.play import EXTRA
from tests.wheel import ROOT, unpacked_wheel

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ISOLATED = [sys.executable, "-I", "-S", "-B", "-c"]  # no site-packages, no PYTHONPATH: the standard library alone
SITE = "import sys; sys.path.insert(0, sys.argv.pop(1)); "


def closure(requirements: list[str]) -> set[str]:
    """The distributions that these requirements come to here, by name."""
    found: set[str] = set()
    wanted = [Requirement(text) for text in requirements]
    while wanted:
        requirement = wanted.pop()
        extras = requirement.extras or {""}
        if requirement.marker and not any(requirement.marker.evaluate({"extra": extra}) for extra in extras):
            continue
        name = canonicalize_name(requirement.name)
        if name not in found:
            found.add(name)
            wanted += [Requirement(text) for text in metadata.requires(name) or () if "extra ==" not in text]
    return found


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel, unpacked, and what a clean installation of it would bring."""
    site = unpacked_wheel(tmp_path_factory.mktemp("install"))
    for name in closure(PROJECT["dependencies"]):
        for top in {file.parts[0] for file in metadata.files(name) or () if file.parts[0] not in {"..", "__pycache__"}}:
            (site / top).symlink_to(str(metadata.distribution(name).locate_file(top)))
    return site


def run(site: Path, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*ISOLATED, SITE + program, str(site), *arguments], capture_output=True, text=True, check=False, cwd=site
    )


def test_what_a_plain_installation_brings() -> None:
    assert [Requirement(text).name for text in PROJECT["dependencies"]] == ["httpx2", "msgspec"]
    server = {Requirement(text).name.replace("-", "_") for text in PROJECT["optional-dependencies"]["server"]}
    assert server == set(SERVER)
    demo = {Requirement(text).name for text in PROJECT["optional-dependencies"]["demo"]}
    assert demo == {"oncepay", *EXTRA}
    assert not closure(PROJECT["dependencies"]) & {name.replace("_", "-") for name in SERVER}


def test_the_client_runs_without_the_server(site: Path) -> None:
    program = """
import oncepay.client
client = oncepay.client.Client("http://127.0.0.1:1", "onc_x", limits=oncepay.client.Limits(total_s=0.1))
try:
    client.payments.get("pay_x")
except oncepay.client.NotSent as error:
    print(type(error).__name__)
print(*sorted({name.partition(".")[0] for name in sys.modules if name.startswith("oncepay")
               and not name.startswith("oncepay.client")}))
print(*sorted({"starlette", "uvicorn", "aiohttp", "apsw", "click", "cryptography"} & set(sys.modules)))
"""
    done = run(site, program)
    assert done.stderr == ""
    assert done.stdout.splitlines() == ["NotSent", "oncepay", ""]


def test_a_consumer_names_the_extra_that_its_queue_needs(site: Path) -> None:
    program = """
from oncepay.client.guards import Inbox
from oncepay.client.queues import Consumer, LibraryMissing
for url in ("amqp://host/v?queue=news", "kafka://host/news", "redis://host/0?stream=news"):
    try:
        Consumer(url, "whsec_" + "A" * 32, Inbox(None))
    except LibraryMissing as error:
        print(error)
"""
    done = run(site, program)
    assert done.stderr == ""
    assert re.findall(r"the library (\w+) is needed: pip install 'oncepay\[(\w+)\]'", done.stdout) == [
        ("aio_pika", "rabbitmq"),
        ("confluent_kafka", "kafka"),
        ("redis", "redis"),
    ]


@pytest.mark.parametrize("arguments", [[], ["--help"], ["serve"]])
def test_the_command_says_what_is_missing_in_one_line(site: Path, arguments: list[str]) -> None:
    program = "sys.argv[0] = 'oncepay'; from oncepay.__main__ import main; main()"
    done = run(site, program, *arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(r"oncepay: the command needs apsw, .*; cure: pip install 'oncepay\[server\]'\n", done.stderr)


def test_the_wheel_is_typed_and_has_the_command(site: Path) -> None:
    assert (site / "oncepay" / "py.typed").exists()
    (info,) = site.glob("oncepay-*.dist-info")
    assert "oncepay = oncepay.__main__:main" in (info / "entry_points.txt").read_text()
