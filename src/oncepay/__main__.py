"""The command ``oncepay``, also as ``python -m oncepay``. Whoever has only the client is told what is missing."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from typing import Final, NoReturn

# What the extra `server` brings, by the names it is imported under; a test holds this to pyproject.toml.
SERVER: Final = (
    "apsw",
    "click",
    "cryptography",
    "httptools",
    "jinja2",
    "prometheus_client",
    "rich",
    "segno",
    "starlette",
    "uvicorn",
    "uvloop",
)


def main() -> NoReturn:
    """Run the command that the command line names."""
    missing = [name for name in SERVER if find_spec(name) is None]
    if missing:
        sys.exit(f"oncepay: the command needs {', '.join(missing)}; cure: pip install 'oncepay[server]'")
    from oncepay.cli import main as run

    run()


if __name__ == "__main__":
    main()
