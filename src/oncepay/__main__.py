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


INTERRUPTED: Final = 130  # as ``cli/exits.py`` has it, which is not there yet


def main() -> NoReturn:
    """Run the command that the command line names."""
    try:
        missing = [name for name in SERVER if find_spec(name) is None]
        if missing:
            sys.exit(f"oncepay: the command needs {', '.join(missing)}; cure: pip install 'oncepay[server]'")
        from oncepay.cli import main as run
    except KeyboardInterrupt:  # while modules are loaded; a command that runs sees to it by itself
        sys.exit(INTERRUPTED)
    run()


if __name__ == "__main__":
    main()
