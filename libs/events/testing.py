"""Builders of valid events: everything has a value, and a test names only what it is about."""

import hashlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec

from libs.events.envelope import Event, decode_envelope
from libs.events.generation import (
    FailureCode,
    GenerationCompleted,
    GenerationFailed,
    RequestFacts,
    StoredImage,
)
from libs.events.names import Service
from libs.events.payload import Payload

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def request_facts(**changes: Any) -> RequestFacts:
    """A request of a person who pays for themselves."""
    user_id = changes.pop("user_id", None) or uuid4()
    facts = RequestFacts(
        job_id=uuid4(),
        account_id=user_id,
        user_id=user_id,
        operation="image",
        provider="local",
        model="local-sketch",
        prompt="a lighthouse at dusk",
        options={},
        unit_credits=3,
        units=1,
        price_book_version=1,
        requested_at=NOW - timedelta(seconds=2),
        deadline_at=NOW + timedelta(minutes=10),
    )
    return msgspec.structs.replace(facts, **changes)


def stored_image(content: bytes = b"a picture", **changes: Any) -> StoredImage:
    """A picture in storage, with the true hash and size of its content."""
    image = StoredImage(
        key=f"attempts/{uuid4()}/1.png",
        sha256=hashlib.sha256(content).hexdigest(),
        content_type="image/png",
        size_bytes=len(content),
        width=1024,
        height=1024,
    )
    return msgspec.structs.replace(image, **changes)


def completed(request: RequestFacts | None = None, /, **changes: Any) -> GenerationCompleted:
    """The answer to a request that delivered all it asked for."""
    request = request or request_facts()
    images = changes.pop("images", tuple(stored_image() for _ in range(request.units)))
    data = GenerationCompleted(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request,
        attempt_id=uuid4(),
        images=images,
        delivered_units=len(images),
        queued_ms=12,
        provider_ms=345,
        upload_ms=6,
    )
    return msgspec.structs.replace(data, **changes)


def failed(request: RequestFacts | None = None, /, **changes: Any) -> GenerationFailed:
    """The answer to a request that delivered nothing."""
    request = request or request_facts()
    data = GenerationFailed(
        job_id=request.job_id,
        account_id=request.account_id,
        request=request,
        code=FailureCode.SERVER,
        message="The provider failed. Try again.",
        queued_ms=12,
        provider_ms=345,
    )
    return msgspec.structs.replace(data, **changes)


def event(
    data: Payload,
    *,
    source: Service = Service.GENERATION,
    event_id: UUID | None = None,
    time: datetime = NOW,
    correlation_id: UUID | None = None,
) -> Event[Payload]:
    """The event that carries some data."""
    return Event(
        id=event_id or uuid4(),
        source=source.source,
        time=time,
        correlation_id=correlation_id or uuid4(),
        causation_id=uuid4(),
        traceparent=None,
        data=data,
    )


def samples() -> list[bytes]:
    """One event of every type and version ever published, as it is sent."""
    files = sorted((Path(__file__).parent / "samples").glob("*.json"))
    return [msgspec.json.format(each.read_bytes(), indent=-1) for each in files]


def key_of(encoded: bytes) -> bytes:
    """The key that a message belongs under; any, if nobody can tell."""
    try:
        envelope = decode_envelope(encoded)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return b"any"
    return str(envelope.accountid or envelope.subject).encode()
