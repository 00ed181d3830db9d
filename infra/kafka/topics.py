"""The bus's topics: made once with a fixed number of partitions, never changed here."""

from collections.abc import Iterable

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.errors import TopicAlreadyExistsError, for_code

from libs.events.names import Topic

PARTITIONS_EMBEDDED = 12
PARTITIONS_PRODUCTION = 64
PROGRESS_RETENTION_MS = 60 * 60 * 1000
# Above the 900 kB that the outbox allows, with room for the envelope.
MESSAGE_BYTES_MAX = 2 * 1024 * 1024


def definitions(partitions: int, replicas: int, prefix: str = "") -> list[NewTopic]:
    """Every stream and its twin for parked messages; `prefix` sets tests apart."""
    return [
        NewTopic(
            name=prefix + name,
            num_partitions=partitions,
            replication_factor=replicas,
            topic_configs={
                "retention.ms": str(-1 if kept else PROGRESS_RETENTION_MS),
                "retention.bytes": "-1",
                "cleanup.policy": "delete",
                "max.message.bytes": str(MESSAGE_BYTES_MAX),
            },
        )
        for name, kept in _names()
    ]


def _names() -> Iterable[tuple[str, bool]]:
    for topic in Topic:
        yield topic.value, topic.is_kept
        if topic.is_kept:
            yield topic.dead_letters, True


async def ensure(
    bootstrap: str,
    *,
    partitions: int = PARTITIONS_EMBEDDED,
    replicas: int = 1,
    prefix: str = "",
) -> None:
    """Make the topics that are missing and leave the others alone."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        known = set(await admin.list_topics())
        missing = [t for t in definitions(partitions, replicas, prefix) if t.name not in known]
        if missing:
            response = await admin.create_topics(missing)
            _raise_failures(response.topic_errors)
    finally:
        await admin.close()


def _raise_failures(results: Iterable[tuple[object, ...]]) -> None:
    for topic, code, *rest in results:
        error = for_code(code)
        if code != 0 and error is not TopicAlreadyExistsError:
            raise error(f"{topic}: {rest}")


async def delete(bootstrap: str, *, prefix: str) -> None:
    """Remove the topics of one test; the bus's own have no prefix and are never removed."""
    if not prefix:
        raise ValueError("only prefixed topics may be deleted")
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        mine = [name for name in await admin.list_topics() if name.startswith(prefix)]
        if mine:
            await admin.delete_topics(mine)
    finally:
        await admin.close()
