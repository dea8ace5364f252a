"""A broker that speaks Kafka's protocol: librdkafka's mock cluster, in a process of its own.

It comes with the confluent-kafka wheel, whose Python half has no words for it, so its C functions are called. What was
produced is kept in memory over ``down`` and ``up`` (up to 5 MB a partition, then the oldest is dropped), and is gone
with the process. A topic that is asked for is made, with four partitions.
"""

from __future__ import annotations

import ctypes
import importlib.util
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parents[1]
_PRODUCER: Final = 0
PRODUCE: Final = 0  # the number of a request, for ``fail``
METADATA: Final = 3


class KafkaMock:
    """A mock cluster of one broker. ``address``: host:port. It ends with its owner, however that ends."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.kafka_mock"],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True,
        )  # fmt: skip
        self.address: Final = self._read()

    @property
    def url(self) -> str:
        """The start of an endpoint's URL; a topic follows."""
        return f"kafka://{self.address}"

    def down(self) -> None:
        """Cut all connections and take no new ones. What was confirmed stays."""
        self._do("down")

    def up(self) -> None:
        """Take connections again, on the same address."""
        self._do("up")

    def topic(self, name: str, partitions: int) -> None:
        """Make a topic."""
        self._do("topic", name, partitions)

    def topic_error(self, name: str, error: int) -> None:
        """Answer for this topic with an error of the protocol (librdkafka's numbers); 0 ends it."""
        self._do("topic_error", name, error)

    def fail(self, request: int, errors: Sequence[int]) -> None:
        """Answer the next requests of this kind with these errors, one each."""
        self._do("fail", request, *errors)

    def named(self, host: str, port: int) -> None:
        """Name the broker so in metadata, wherever it listens."""
        self._do("named", host, port)

    def slow(self, ms: int) -> None:
        """Answer everything so much later; 0 ends it."""
        self._do("slow", ms)

    def kill9(self) -> None:
        """The end of it and of all it kept."""
        self._process.kill()
        self.close()

    def close(self) -> None:
        """Stop and leave nothing behind."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _do(self, *words: str | int) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(words) + "\n")
        self._process.stdin.flush()
        if (answer := self._read()) != "done":
            raise RuntimeError(f"the mock cluster answered {answer!r} to {words}")

    def _read(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


# -- the other process -----------------------------------------------------------------------------


def _library() -> ctypes.CDLL:
    found = importlib.util.find_spec("confluent_kafka")
    assert found is not None, "confluent-kafka is not installed"
    assert found.origin is not None
    wheel = Path(found.origin).parent
    import confluent_kafka  # noqa: F401 - loads the library with what it is linked to

    (path,) = [*wheel.with_name("confluent_kafka.libs").glob("librdkafka*"), *wheel.glob(".dylibs/librdkafka*")]
    return ctypes.CDLL(str(path))


def _pointer(function: Any, *arguments: Any) -> ctypes.c_void_p:
    function.restype = ctypes.c_void_p
    return ctypes.c_void_p(function(*arguments))


class _Cluster:
    def __init__(self) -> None:
        self._c = _library()
        configuration = _pointer(self._c.rd_kafka_conf_new)
        why = ctypes.create_string_buffer(512)
        room = ctypes.c_size_t(len(why))
        self._c.rd_kafka_conf_set(configuration, b"log_level", b"0", why, room)
        client = _pointer(self._c.rd_kafka_new, _PRODUCER, configuration, why, room)
        assert client.value, why.value
        self._cluster = _pointer(self._c.rd_kafka_mock_cluster_new, client, 1)
        self._c.rd_kafka_mock_cluster_bootstraps.restype = ctypes.c_char_p
        self.address: str = self._c.rd_kafka_mock_cluster_bootstraps(self._cluster).decode()

    def down(self) -> None:
        self._check(self._c.rd_kafka_mock_broker_set_down(self._cluster, 1))

    def up(self) -> None:
        self._check(self._c.rd_kafka_mock_broker_set_up(self._cluster, 1))

    def slow(self, ms: int) -> None:
        self._check(self._c.rd_kafka_mock_broker_set_rtt(self._cluster, 1, ms))

    def named(self, host: str, port: int) -> None:
        self._c.rd_kafka_mock_broker_set_host_port(self._cluster, ctypes.c_int32(1), host.encode(), port)

    def topic(self, name: str, partitions: int) -> None:
        self._check(self._c.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1))

    def topic_error(self, name: str, error: int) -> None:
        self._c.rd_kafka_mock_topic_set_error(self._cluster, name.encode(), error)

    def fail(self, request: int, *errors: int) -> None:
        numbers = (ctypes.c_int * len(errors))(*errors)
        self._c.rd_kafka_mock_push_request_errors_array(
            self._cluster, ctypes.c_int16(request), ctypes.c_size_t(len(errors)), numbers
        )

    @staticmethod
    def _check(error: int) -> None:
        if error:
            raise RuntimeError(f"librdkafka's error {error}")


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _serve() -> None:
    cluster = _Cluster()
    _say(cluster.address)
    for line in sys.stdin:
        do, *words = json.loads(line)
        try:
            getattr(cluster, do)(*words)
            _say("done")
        except Exception as error:  # noqa: BLE001 - whatever it is, the owner must hear
            _say(f"{type(error).__name__}: {error}")


if __name__ == "__main__":
    _serve()
