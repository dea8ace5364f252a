"""Consumers of message queues: news of payments out of RabbitMQ, Kafka or a Redis stream into the app's inbox.

They need the extra ``rabbitmq``, ``kafka`` or ``redis``. See ``docs/integrate/queues.md``.
"""

from oncepay.client.queues.consumer import AsyncConsumer, Consumer
from oncepay.client.queues.errors import LibraryMissing

__all__ = ["AsyncConsumer", "Consumer", "LibraryMissing"]
