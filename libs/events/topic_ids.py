"""Topic ids, which tell a topic made anew from the one of the same name before it (KIP-516).

aiokafka speaks the metadata protocol up to version 5, and ids came with version 10; so the request
stands here, in aiokafka's own terms. Source: Kafka protocol guide, Metadata request and response
version 12.
"""

from collections.abc import Iterable
from io import BytesIO
from typing import Any
from uuid import UUID

from aiokafka.client import AIOKafkaClient
from aiokafka.errors import KafkaError, UnknownTopicOrPartitionError, for_code
from aiokafka.protocol.api import Request, RequestStruct, Response
from aiokafka.protocol.types import (
    AbstractType,
    Boolean,
    CompactArray,
    CompactString,
    Int16,
    Int32,
    Schema,
    TaggedFields,
)

METADATA_API_KEY = 3
METADATA_VERSION = 12


class _Uuid(AbstractType[UUID]):  # type: ignore[misc]  # aiokafka is untyped
    @classmethod
    def encode(cls, value: UUID) -> bytes:
        return value.bytes

    @classmethod
    def decode(cls, data: BytesIO) -> UUID:
        return UUID(bytes=data.read(16))


class _MetadataResponse(Response):  # type: ignore[misc]
    API_KEY = METADATA_API_KEY
    API_VERSION = METADATA_VERSION
    SCHEMA = Schema(
        ("throttle_time_ms", Int32),
        (
            "brokers",
            CompactArray(
                ("node_id", Int32),
                ("host", CompactString("utf-8")),
                ("port", Int32),
                ("rack", CompactString("utf-8")),
                ("tags", TaggedFields),
            ),
        ),
        ("cluster_id", CompactString("utf-8")),
        ("controller_id", Int32),
        (
            "topics",
            CompactArray(
                ("error_code", Int16),
                ("name", CompactString("utf-8")),
                ("topic_id", _Uuid),
                ("is_internal", Boolean),
                (
                    "partitions",
                    CompactArray(
                        ("error_code", Int16),
                        ("partition", Int32),
                        ("leader", Int32),
                        ("leader_epoch", Int32),
                        ("replicas", CompactArray(Int32)),
                        ("isr", CompactArray(Int32)),
                        ("offline_replicas", CompactArray(Int32)),
                        ("tags", TaggedFields),
                    ),
                ),
                ("authorized_operations", Int32),
                ("tags", TaggedFields),
            ),
        ),
        ("tags", TaggedFields),
    )


class _MetadataRequestStruct(RequestStruct):  # type: ignore[misc]
    FLEXIBLE_VERSION = True
    API_KEY = METADATA_API_KEY
    API_VERSION = METADATA_VERSION
    RESPONSE_TYPE = _MetadataResponse
    SCHEMA = Schema(
        (
            "topics",
            CompactArray(
                ("topic_id", _Uuid), ("name", CompactString("utf-8")), ("tags", TaggedFields)
            ),
        ),
        ("allow_auto_topic_creation", Boolean),
        ("include_topic_authorized_operations", Boolean),
        ("tags", TaggedFields),
    )


class _MetadataRequest(Request[_MetadataRequestStruct]):  # type: ignore[misc]
    API_KEY = METADATA_API_KEY

    def __init__(self, topics: Iterable[str]) -> None:
        self._topics = tuple(topics)

    def build(self, request_struct_class: Any) -> _MetadataRequestStruct:
        asked: list[tuple[UUID, str, dict[int, bytes]]] = [
            (UUID(int=0), topic, {}) for topic in self._topics
        ]
        request: _MetadataRequestStruct = request_struct_class(asked, False, False, {})
        return request


class TopicIds:
    """Asks Kafka for the ids of topics."""

    def __init__(self, bootstrap: str, client_id: str) -> None:
        self._client = AIOKafkaClient(bootstrap_servers=bootstrap, client_id=f"{client_id}-topics")

    async def open(self) -> None:
        """Connect.

        Raises:
            KafkaError: Kafka cannot be reached.
        """
        await self._client.bootstrap()

    async def close(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def of(self, topics: Iterable[str]) -> dict[str, UUID]:
        """The id of each topic.

        Raises:
            KafkaError: a topic does not exist, or Kafka cannot be reached.
        """
        return {
            name: topic_id for name, (topic_id, _) in (await self.and_partitions(topics)).items()
        }

    async def and_partitions(self, topics: Iterable[str]) -> dict[str, tuple[UUID, list[int]]]:
        """The id of each topic, and the numbers of its partitions.

        Raises:
            KafkaError: a topic does not exist, or Kafka cannot be reached.
        """
        asked = set(topics)
        found = await self._look_up(asked)
        if missing := asked - found.keys():
            raise UnknownTopicOrPartitionError(f"topics {sorted(missing)}")
        return found

    async def existing(self, topics: Iterable[str]) -> dict[str, UUID]:
        """The id of each of these topics that exists.

        Raises:
            KafkaError: Kafka cannot be reached.
        """
        return {name: topic_id for name, (topic_id, _) in (await self._look_up(topics)).items()}

    async def _look_up(self, topics: Iterable[str]) -> dict[str, tuple[UUID, list[int]]]:
        node_id = self._client.get_random_node()
        response = await self._client.send(node_id, _MetadataRequest(sorted(topics)))
        found: dict[str, tuple[UUID, list[int]]] = {}
        for error_code, name, topic_id, _, partitions, *_ in response.topics:
            if error_code == UnknownTopicOrPartitionError.errno:
                continue
            if error_code:
                error: type[KafkaError] = for_code(error_code)
                raise error(f"topic {name}")
            found[name] = (topic_id, sorted(number for _, number, *_ in partitions))
        return found
