"""How an asset is served: caching, conditional requests and single ranges (RFC 9110, 13 and 14)."""

import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime, parsedate_to_datetime

from msgspec import Struct

from services.gallery.domain.pictures import Asset

# A key contains the attempt that wrote it and is never written again: keep its content for ever.
CACHE_CONTROL = "public, max-age=31536000, immutable"
# Of what not everybody may see, browsers keep a copy and caches between none.
PRIVATE_CACHE_CONTROL = "private, max-age=31536000, immutable"
# A CDN asks again after five minutes: a picture that is public no more is not served for longer.
CDN_CACHE_CONTROL = "public, max-age=300"

# What a browser only shows. Everything else could run in it, and is saved instead.
SHOWN_TYPES = frozenset(
    {
        "image/png",
        "image/jpeg",
        "image/webp",
        "image/gif",
        "image/avif",
        "video/mp4",
        "video/webm",
    }
)
# Even a document that got here by mistake may load, run and submit nothing.
CONTENT_SECURITY_POLICY = "default-src 'none'; sandbox"

OK, PARTIAL_CONTENT, NOT_MODIFIED, RANGE_NOT_SATISFIABLE = 200, 206, 304, 416

# Eighteen digits are beyond any object and still a cheap integer.
_RANGE = re.compile(r"\s*bytes\s*=\s*([0-9]{0,18})\s*-\s*([0-9]{0,18})\s*", re.IGNORECASE)


class Span(Struct, frozen=True, gc=False):
    """Bytes of an object, both ends included."""

    first: int
    last: int

    @property
    def size_bytes(self) -> int:
        return self.last - self.first + 1


class UnsatisfiableRangeError(ValueError):
    """A range that is well-formed and holds none of the object's bytes."""


class Conditions(Struct, frozen=True, kw_only=True, gc=False):
    """Header fields of a request that decide what of an asset is sent."""

    if_none_match: str | None = None
    if_modified_since: str | None = None
    if_range: str | None = None
    range: str | None = None


class Delivery(Struct, frozen=True, kw_only=True, gc=False):
    """What to answer. `sent` is the part to send, or the whole; without it there is no body."""

    status: int
    headers: dict[str, str]
    sent: Span | None = None


def entity_tag(asset: Asset) -> str:
    """The content's hash, so it is strong and survives a copy to another store."""
    return f'"{asset.sha256}"'


def decide_delivery(asset: Asset, conditions: Conditions, *, is_public: bool) -> Delivery:
    headers = {
        "ETag": entity_tag(asset),
        "Cache-Control": CACHE_CONTROL if is_public else PRIVATE_CACHE_CONTROL,
        "CDN-Cache-Control": CDN_CACHE_CONTROL if is_public else "no-store",
        "Accept-Ranges": "bytes",
        "Access-Control-Expose-Headers": "Accept-Ranges, Content-Length, Content-Range, ETag",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": CONTENT_SECURITY_POLICY,
        "Last-Modified": format_datetime(_stored_at(asset), usegmt=True),
    }
    if asset.content_type not in SHOWN_TYPES:
        headers["Content-Disposition"] = "attachment"
    if _is_held(asset, conditions):
        return Delivery(status=NOT_MODIFIED, headers=headers)
    try:
        wanted = _wanted_range(asset, conditions)
    except UnsatisfiableRangeError:
        headers["Content-Range"] = f"bytes */{asset.size_bytes}"
        # The refusal is about this request's range, not about the asset.
        headers["Cache-Control"] = headers["CDN-Cache-Control"] = "no-store"
        return Delivery(status=RANGE_NOT_SATISFIABLE, headers=headers)
    sent = wanted or Span(0, asset.size_bytes - 1)
    headers["Content-Type"] = asset.content_type
    headers["Content-Length"] = str(sent.size_bytes)
    if wanted is None:
        return Delivery(status=OK, headers=headers, sent=sent if sent.size_bytes else None)
    headers["Content-Range"] = f"bytes {sent.first}-{sent.last}/{asset.size_bytes}"
    return Delivery(status=PARTIAL_CONTENT, headers=headers, sent=sent)


def parse_range(header: str, size_bytes: int) -> Span | None:
    """The one range asked for, cut to the object; None where the whole object is the right answer.

    A server may ignore a range: we do where it is malformed, in another unit or one of several.

    Raises:
        UnsatisfiableRangeError: no byte of the object lies in the range.
    """
    found = _RANGE.fullmatch(header)
    if found is None:
        return None
    first, last = found.groups()
    if first == "":
        return None if last == "" else _suffix(int(last), size_bytes)
    start = int(first)
    end = size_bytes - 1 if last == "" else min(int(last), size_bytes - 1)
    if last != "" and int(last) < start:
        return None
    if start >= size_bytes:
        raise UnsatisfiableRangeError
    return Span(start, end)


def _suffix(length: int, size_bytes: int) -> Span:
    if length == 0 or size_bytes == 0:
        raise UnsatisfiableRangeError
    return Span(max(0, size_bytes - length), size_bytes - 1)


def _wanted_range(asset: Asset, conditions: Conditions) -> Span | None:
    if conditions.range is None:
        return None
    # A client that continues a download of other content must get the whole of this one.
    if conditions.if_range is not None and conditions.if_range.strip() != entity_tag(asset):
        return None
    return parse_range(conditions.range, asset.size_bytes)


def _stored_at(asset: Asset) -> datetime:
    """In whole seconds, rounded up: what is not later than this was stored by then."""
    stored_at = asset.stored_at.astimezone(UTC)
    whole = stored_at.replace(microsecond=0)
    return whole if whole == stored_at else whole + timedelta(seconds=1)


def _is_held(asset: Asset, conditions: Conditions) -> bool:
    """Whether the client already has the content. The tags are compared weakly, as RFC 9110 asks.

    A date counts only where no tag was sent.
    """
    if conditions.if_none_match is not None:
        tags = [tag.strip().removeprefix("W/") for tag in conditions.if_none_match.split(",")]
        return "*" in tags or entity_tag(asset) in tags
    if conditions.if_modified_since is None:
        return False
    try:
        since = parsedate_to_datetime(conditions.if_modified_since)
    except ValueError:
        return False
    return since.tzinfo is not None and _stored_at(asset) <= since
