"""How a Redis is reached: soon or not at all."""

from __future__ import annotations

from typing import Final

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.maint_notifications import MaintNotificationsConfig

ANSWER_S: Final = 0.05  # what takes longer would cost more than it saves
CONNECTIONS: Final = 16
ALIVE_S: Final = 5.0  # without a word, before a connection that waits is asked whether it is there still


def client_of(url: str) -> redis.asyncio.Redis:
    """For calls of one round trip: each is tried once. Raises ValueError for a URL that is none."""
    pool = redis.asyncio.BlockingConnectionPool.from_url(
        url,
        max_connections=CONNECTIONS,
        timeout=ANSWER_S,
        socket_timeout=ANSWER_S,
        socket_connect_timeout=ANSWER_S,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
    return redis.asyncio.Redis.from_pool(pool)


def listener_of(url: str) -> redis.asyncio.Redis:
    """For one connection that waits. Without time-outs of the driver's: its ``wait_for`` swallows a cancellation that
    comes at the moment of an answer, and whoever listens must be stoppable."""
    return redis.asyncio.Redis.from_url(
        url,
        socket_timeout=None,
        socket_connect_timeout=ALIVE_S,
        retry=Retry(NoBackoff(), 0),
        maint_notifications_config=MaintNotificationsConfig(enabled=False),
    )
