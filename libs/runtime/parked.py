"""Messages that a consumer could not handle, set aside as rows so that their stream goes on.

A later event with the same order key is parked behind an open row, and follows it in order when it
is redriven.
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from uuid import UUID

import structlog
from msgspec import Struct

from libs.events.envelope import ENCODED_BYTES_MAX, Event, encode
from libs.events.names import (
    HEADER_DEAD_LETTER_CONSUMER,
    HEADER_DEAD_LETTER_REASON,
    Topic,
    dead_letters_of,
)
from libs.events.operations import MessageParked
from libs.events.payload import Payload
from libs.events.transport import IncomingMessage
from libs.runtime.db import Transaction
from libs.runtime.outbox import OutboxRow

DETAIL_CHARACTERS_MAX = 500
REASON_BEHIND = "behind"

PARK = """
    INSERT INTO parked (parked_id, consumer, topic, topic_id, partition, next_offset, event_id,
                        event_type, order_key, key, encoded, reason, detail, parked_at)
    SELECT parked_id, $1, topic, topic_id, partition, next_offset, event_id, event_type,
           order_key, key, encoded, reason, detail, $2
      FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::integer[], $7::bigint[], $8::uuid[],
                  $9::text[], $10::text[], $11::bytea[], $12::bytea[], $13::text[], $14::text[])
           WITH ORDINALITY
           AS row (parked_id, topic, topic_id, partition, next_offset, event_id, event_type,
                   order_key, key, encoded, reason, detail, place)
     ORDER BY place
"""

PARK_WAITERS = """
    INSERT INTO parked (parked_id, consumer, topic, event_id, event_type, order_key, key, encoded,
                        reason, detail, parked_at)
    SELECT parked_id, $1, topic, event_id, event_type, order_key, key, encoded, reason, detail, $2
      FROM unnest($3::uuid[], $4::text[], $5::uuid[], $6::text[], $7::text[], $8::bytea[],
                  $9::bytea[], $10::text[], $11::text[]) WITH ORDINALITY
           AS row (parked_id, topic, event_id, event_type, order_key, key, encoded, reason, detail,
                   place)
     ORDER BY place
"""
NOWHERE = -1  # the place in the log of what was parked out of a table

logger = structlog.get_logger(__name__)


class Parking(Struct, frozen=True, kw_only=True):
    """A message to set aside, and why."""

    parked_id: UUID
    message: IncomingMessage
    event_id: UUID | None
    event_type: str | None
    order_key: str | None
    reason: str
    detail: str


async def park(
    transaction: Transaction, consumer: str, parkings: Sequence[Parking], *, now: datetime
) -> None:
    """Set messages aside; copies leave for the dead-letter topics, and an event tells of each.

    The log does too, once it is true: what the message holds may not stand there.
    """
    if not parkings:
        return
    messages = [each.message for each in parkings]
    await transaction.connection.execute(
        PARK,
        consumer,
        now,
        [each.parked_id for each in parkings],
        [message.partition.topic for message in messages],
        [message.partition.topic_id for message in messages],
        [message.partition.partition for message in messages],
        [message.offset for message in messages],
        [each.event_id for each in parkings],
        [each.event_type for each in parkings],
        [each.order_key for each in parkings],
        [message.key for message in messages],
        [message.value for message in messages],
        [each.reason for each in parkings],
        [each.detail[:DETAIL_CHARACTERS_MAX] for each in parkings],
    )
    for each in parkings:
        _announce(transaction, consumer, each)
        transaction.after_commit(partial(_log, consumer, each))


async def park_waiters(
    transaction: Transaction,
    consumer: str,
    waiters: Sequence[tuple[UUID, Event[Payload], str, str]],
    *,
    now: datetime,
) -> None:
    """Set (id of the row, event, reason, detail) aside, which had waited and then were refused."""
    if not waiters:
        return
    await transaction.connection.execute(
        PARK_WAITERS,
        consumer,
        now,
        [parked_id for parked_id, *_ in waiters],
        [event.data.topic.value for _, event, *_ in waiters],
        [event.id for _, event, *_ in waiters],
        [event.data.event_type.value for _, event, *_ in waiters],
        [event.subject for _, event, *_ in waiters],
        [event.key.encode() for _, event, *_ in waiters],
        [encode(event) for _, event, *_ in waiters],
        [reason for *_, reason, _ in waiters],
        [detail[:DETAIL_CHARACTERS_MAX] for *_, detail in waiters],
    )
    for parked_id, event, reason, detail in waiters:
        topic = event.data.topic.value
        headers = {HEADER_DEAD_LETTER_CONSUMER: consumer, HEADER_DEAD_LETTER_REASON: reason}
        transaction.send(
            OutboxRow(
                event_id=None,
                topic=dead_letters_of(topic),
                key=event.key.encode(),
                encoded=encode(event),
                headers=headers,
            )
        )
        transaction.publish(
            MessageParked(
                consumer=consumer,
                parked_id=parked_id,
                message_topic=topic,
                message_partition=NOWHERE,
                message_offset=NOWHERE,
                reason=reason,
                detail=detail[:DETAIL_CHARACTERS_MAX],
            ),
            correlation_id=event.correlation_id,
        )


def _log(consumer: str, parking: Parking) -> None:
    partition = parking.message.partition
    logger.warning(
        "message_parked",
        consumer=consumer,
        parked_id=parking.parked_id,
        topic=partition.topic,
        partition=partition.partition,
        offset=parking.message.offset,
        event_id=parking.event_id,
        event_type=parking.event_type,
        reason=parking.reason,
    )


def _announce(transaction: Transaction, consumer: str, parking: Parking) -> None:
    message = parking.message
    if Topic(message.partition.topic).is_kept:  # a passing signal's topic has no twin
        _send_copy(transaction, consumer, parking)
    transaction.publish(
        MessageParked(
            consumer=consumer,
            parked_id=parking.parked_id,
            message_topic=message.partition.topic,
            message_partition=message.partition.partition,
            message_offset=message.offset,
            reason=parking.reason,
            detail=parking.detail[:DETAIL_CHARACTERS_MAX],
        )
    )


def _send_copy(transaction: Transaction, consumer: str, parking: Parking) -> None:
    message = parking.message
    value = message.value
    if value is not None and len(value) > ENCODED_BYTES_MAX:
        value = None  # the row has it whole; a message that no topic takes would block the relay
    transaction.send(
        OutboxRow(
            event_id=None,
            topic=dead_letters_of(message.partition.topic),
            key=message.key,
            encoded=value,
            headers={
                HEADER_DEAD_LETTER_CONSUMER: consumer,
                HEADER_DEAD_LETTER_REASON: parking.reason,
            },
        )
    )
