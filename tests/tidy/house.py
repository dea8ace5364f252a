"""What the tidy tests look at: our files, as git knows them or as they lie there, and what may be said against one."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
SRC: Final = ROOT / "src" / "oncepay"

FILE_LINES_MAX: Final = 420
FUNCTION_LINES_MAX: Final = 75

Function = ast.FunctionDef | ast.AsyncFunctionDef

# Capitals, as SQL is written here; prose says "select".
SQL: Final = re.compile(r"\b(SELECT|INSERT INTO|INSERT OR|DELETE FROM|UPDATE\s+\w+\s+SET|CREATE TABLE|ALTER TABLE)\b")
UNFINISHED: Final = re.compile(r"\b(TODO|FIXME|raise NotImplementedError)\b")  # to catch one is something else
MACHINE: Final = re.compile(r"(?<![\w.$~}])/(home|root|Users|mnt|work|workspace)/\w")

# How each vendor is called, in any spelling; and the only rooms that may know: the vendor's own, the list of our own
# channels, the sandbox with its command, demonstration and drill. Everywhere else what a channel can do is data.
VENDORS: Final = {
    "alipay": r"ali-?pay|支付宝",
    "unionpay": r"union-?pay|china-?pay|95516|银联",
    "wechat": r"we-?chat|weixin|wxpay|tenpay|微信",
}
VENDOR: Final = re.compile("|".join(VENDORS.values()), re.IGNORECASE)
ROOMS_OF_VENDORS: Final = (
    "channels/*/*",
    "channels/registry.py",
    "sandbox/*",
    "cli/sandbox.py",
    "cli/demo/*",
    "cli/drill/*",
)


def files(*patterns: str) -> list[Path]:
    """Files of the repository that match, tracked or new, ignored ones left out; all below ROOT without git."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:  # an unpacked archive
        found = {path for pattern in patterns for path in ROOT.rglob(pattern)}
        return sorted(p for p in found if p.is_file() and not any(part.startswith(".") for part in p.parts))
    return sorted({ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()})


def modules() -> list[Path]:
    """Every Python file of ours."""
    return files("*.py")


def name_of(path: Path) -> str:
    """How a complaint names a file."""
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else path.name


def knows_no_vendor(path: Path) -> bool:
    """Whether a file of the package stands outside the rooms in which a vendor may be named."""
    name = path.relative_to(SRC).as_posix()
    return not any(fnmatch(name, room) for room in ROOMS_OF_VENDORS)


def complaints_of_shape(name: str, text: str) -> Iterator[str]:
    """Too long, or silent about what it is for."""
    tree = ast.parse(text)
    if text.strip() and not ast.get_docstring(tree):
        yield f"{name}:1: say in a docstring what this module is for"
    lines = text.count("\n")
    if lines > FILE_LINES_MAX:
        yield f"{name}:{FILE_LINES_MAX}: {lines} lines, at most {FILE_LINES_MAX}; split by what changes together"
    for node in ast.walk(tree):
        if isinstance(node, Function) and node.end_lineno is not None:
            long = node.end_lineno - node.lineno + 1
            if long > FUNCTION_LINES_MAX:
                yield f"{name}:{node.lineno}: {node.name} has {long} lines, at most {FUNCTION_LINES_MAX}"


def complaints_of_sql(name: str, text: str) -> Iterator[str]:
    """SQL in a string that is not a docstring: it belongs in a file, named, with its purpose and its index."""
    tree = ast.parse(text)
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | Function) and node.body and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            found = SQL.search(node.value)
            if found:
                yield f"{name}:{node.lineno}: {found[0]} in a .py file; put the statement into store/sql/"


def complaints_of_lines(name: str, text: str, wrong: re.Pattern[str], cure: str) -> Iterator[str]:
    """Lines that hold what they must not."""
    for number, line in enumerate(text.splitlines(), 1):
        found = wrong.search(line)
        if found:
            yield f"{name}:{number}: {found[0]}; {cure}"
