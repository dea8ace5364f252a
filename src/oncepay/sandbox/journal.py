"""An append-only file of what happened, so that a restarted sandbox still has its orders.

One JSON line a change, ``["kind", "key", value]``; the last line of a key wins and null forgets it.
Lines are gathered and written once per turn of the event loop. There is no fsync: a killed process
loses nothing, a killed machine may lose the last moment. That is enough for a simulator.
"""

import asyncio
import os
from pathlib import Path
from typing import Any, Final

import msgspec

_ENCODE: Final = msgspec.json.Encoder().encode


class Journal:
    """The latest value of every (kind, key), kept on disk; with no path, kept nowhere."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._file: int | None = None
        self._lines: list[bytes] = []

    def read(self) -> dict[str, dict[str, bytes]]:
        """What an earlier process left: kind -> key -> JSON of the last value.

        A torn last line (the process died in the middle of a write) is ignored. The file is
        rewritten with only what is still true.
        """
        kept: dict[str, dict[str, bytes]] = {}
        if self._path is None:
            return kept
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                try:
                    kind, key, value = msgspec.json.decode(line, type=tuple[str, str, msgspec.Raw])
                except msgspec.DecodeError:
                    continue
                if bytes(value) == b"null":
                    kept.get(kind, {}).pop(key, None)
                else:
                    kept.setdefault(kind, {})[key] = bytes(value)
        fresh = self._path.with_suffix(".new")
        handle = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND, 0o600)
        lines = [
            _ENCODE((kind, key, msgspec.Raw(value))) + b"\n"
            for kind, values in kept.items()
            for key, value in values.items()
        ]
        os.write(handle, b"".join(lines))
        fresh.replace(self._path)
        self._file = handle
        return kept

    def note(self, kind: str, key: str, value: Any) -> None:
        """Remember ``value`` as the latest of ``key``; None forgets it."""
        if self._file is None:
            return
        if not self._lines:
            asyncio.get_running_loop().call_soon(self.flush)
        self._lines.append(_ENCODE((kind, key, value)))

    def flush(self) -> None:
        """Write what is gathered."""
        if self._file is not None and self._lines:
            self._lines.append(b"")
            data = b"\n".join(self._lines)
            self._lines.clear()
            os.write(self._file, data)

    def close(self) -> None:
        self.flush()
        if self._file is not None:
            os.close(self._file)
            self._file = None
