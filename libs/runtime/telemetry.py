"""Logs as JSON lines with stable keys and no secrets.

Keys: ts level service event, then as known: route method status user_id workspace_id job_id
provider latency_ms error_code trace_id event_id request_id. Bind what holds for a whole request or
message with `structlog.contextvars.bound_contextvars`; pass the rest to the log call.
"""

import logging
import math
import re
import sys
from collections.abc import Mapping
from functools import lru_cache
from typing import Any, BinaryIO, Final

import msgspec
import structlog
from structlog.types import EventDict, Processor, WrappedLogger

_HIDDEN: Final = "(hidden)"
_SECRET_WORDS: Final = frozenset(
    {"authorization", "cookie", "passwd", "password", "prompt", "secret", "ticket", "token"}
)
_SECRET_NAMES: Final = frozenset({"access_key", "api_key", "private_key", "signing_key"})
_WORD: Final = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")
# What gives a secret away inside a text: a header, a query, a DSN, a bare JWT or API key.
_SECRET_TEXT: Final = re.compile(
    r"(?P<scheme>\b(?:bearer|basic)\s+)[\w.~+/=-]{8,}"
    r"|(?P<query>\b(?:ticket|token|password|secret|api_key)=)[^\s&\"',;]+"
    r"|(?P<userinfo>://[^/@:\s]*:)[^/@\s]+(?=@)"
    r"|\beyJ[\w-]+\.[\w-]+\.[\w-]*"
    r"|\bdg_[0-9a-f]{8,}_[\w-]+",
    re.IGNORECASE,
)
_LIBRARIES: Final = (
    "uvicorn",
    "uvicorn.error",
    "uvicorn.asgi",
    "aiokafka",
    "faststream",
    "asyncio",
)
_PASSING_SECONDS: Final = 10.0
_SPELL_GAP_SECONDS: Final = 5.0
_FIRST_KEYS: Final = ("ts", "level", "service", "event")


def configure_logging(service: str, level: str, output: BinaryIO | None = None) -> None:
    """Send every log of this process, ours and the libraries', to `output` (default: stdout).

    Called once by whoever starts the process. Uvicorn's own access log is shut off, because it
    writes query strings; `libs/runtime/http` logs each request instead.
    """
    stream = output or sys.stdout.buffer
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.StackInfoRenderer(),
        structlog.processors.format_exc_info,
        _ServiceName(service),
        redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True, key="ts"),  # nothing to hide in it
    ]
    structlog.configure(
        processors=[*shared, render],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelName(level)),
        logger_factory=structlog.BytesLoggerFactory(stream),
        cache_logger_on_first_use=False,
    )
    _route_libraries(shared, level, stream)


def _route_libraries(shared: list[Processor], level: str, stream: BinaryIO) -> None:
    """Let the standard library's loggers end in the same renderer."""
    handler = logging.StreamHandler(_TextToBytes(stream))
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[_LoggerName(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, _render_text],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for name in _LIBRARIES:
        library = logging.getLogger(name)
        library.handlers.clear()
        library.propagate = True
    # Clients of the network tell of each request at INFO; only what went wrong is of interest.
    for name in ("aiokafka", "botocore", "aiobotocore", "httpx2"):
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    group = logging.getLogger("aiokafka.consumer.group_coordinator")
    group.filters[:] = [_Lasting()]
    access = logging.getLogger("uvicorn.access")
    access.handlers.clear()
    access.propagate = False


class _Lasting(logging.Filter):
    """Passes on what does not pass by itself.

    A consumer group looks for its coordinator at every start and after every change, and calls each
    try that comes too early an error. It tries again many times a second: a fault goes on.
    """

    def __init__(self) -> None:
        super().__init__()
        self._first_at = self._last_at = -math.inf

    def filter(self, record: logging.LogRecord) -> bool:
        if record.created - self._last_at > _SPELL_GAP_SECONDS:
            self._first_at = record.created
        self._last_at = record.created
        lasts = record.created - self._first_at >= _PASSING_SECONDS
        return lasts or record.exc_info is not None


class _TextToBytes:
    """The byte stream as the text stream that a standard handler writes to."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream

    def write(self, text: str) -> None:
        self._stream.write(text.encode())

    def flush(self) -> None:
        self._stream.flush()


class _ServiceName:
    """Names the service, unless the context already does: several may share one process."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        event.setdefault("service", self._service)
        return event


class _LoggerName:
    """Tells which library speaks."""

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        record = event.get("_record")
        if isinstance(record, logging.LogRecord):
            event["logger"] = record.name
        return event


def redact(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Hide secrets by the name of their key, and those that stand inside a text."""
    return {
        # Nearly all values are plain texts, and every request writes a line.
        name: scrub(value) if type(value) is str and not is_secret(name) else _redacted(name, value)
        for name, value in event.items()
    }


def _redacted(name: str, value: Any) -> Any:
    if name.startswith("_"):  # structlog's own, removed before rendering
        return value
    if is_secret(name):
        return _HIDDEN
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(key): _redacted(str(key), item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_redacted("", item) for item in value]
    return value


@lru_cache(maxsize=4_096)  # the same few names on every line
def is_secret(name: str) -> bool:
    """Whether a key of this name holds what must not be written down."""
    words = [word.lower() for word in _WORD.findall(name)]
    return not _SECRET_WORDS.isdisjoint(words) or "_".join(words) in _SECRET_NAMES


def scrub(text: str) -> str:
    """A text without the credentials in it."""
    if text.replace("-", "").isalnum():  # an id or a word: each secret has a sign beside these
        return text
    return _SECRET_TEXT.sub(
        lambda found: f"{found['scheme'] or found['query'] or found['userinfo'] or ''}{_HIDDEN}",
        text,
    )


_encoder: Final = msgspec.json.Encoder(enc_hook=str)


def render(_logger: WrappedLogger, _method: str, event: EventDict) -> bytes:
    """One JSON line, the keys that every line has first."""
    first = {name: event.pop(name) for name in _FIRST_KEYS if name in event}
    return _encoder.encode(first | dict(event))


def _render_text(logger: WrappedLogger, method: str, event: EventDict) -> str:
    return render(logger, method, event).decode()
