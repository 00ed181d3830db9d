"""Log lines, what they hide, and trace contexts."""

import io
import json
import logging
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
import structlog
from structlog.contextvars import bound_contextvars

from libs.runtime.telemetry import configure_logging, is_secret
from libs.runtime.tracing import Traceparent, current_traceparent, tracing

LIBRARIES = ("", "uvicorn", "uvicorn.error", "uvicorn.access", "aiokafka", "faststream")


class Logs:
    def __init__(self) -> None:
        self.stream = io.BytesIO()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.stream.getvalue().splitlines()]


@pytest.fixture
def logs() -> Iterator[Logs]:
    """Logging as a process sets it up, put back afterwards."""
    loggers = [logging.getLogger(name) for name in LIBRARIES]
    before = [(each, each.handlers[:], each.level, each.propagate) for each in loggers]
    logs = Logs()
    configure_logging("ledger", "INFO", logs.stream)
    yield logs
    structlog.reset_defaults()
    for each, handlers, level, propagate in before:
        each.handlers, each.level, each.propagate = handlers, level, propagate


def test_a_line_is_json_with_the_stable_keys_first(logs: Logs) -> None:
    with bound_contextvars(user_id="u-1"):
        structlog.get_logger().info("charged", job_id="j-1", latency_ms=3)
    (line,) = logs.lines()
    assert list(line)[:4] == ["ts", "level", "service", "event"]
    assert line["ts"].endswith("Z")
    expected = {
        "level": "info",
        "service": "ledger",
        "event": "charged",
        "user_id": "u-1",
        "job_id": "j-1",
        "latency_ms": 3,
    }
    assert line == expected | {"ts": line["ts"]}


def test_lines_below_the_level_are_dropped(logs: Logs) -> None:
    structlog.get_logger().debug("noise")
    logging.getLogger("faststream").debug("noise")
    assert logs.lines() == []


def test_libraries_speak_the_same_json(logs: Logs) -> None:
    logging.getLogger("uvicorn.error").info("started on %s", "port 1")
    logging.getLogger("aiokafka").error("lost the broker")
    first, second = logs.lines()
    assert (first["event"], first["logger"], first["service"]) == (
        "started on port 1",
        "uvicorn.error",
        "ledger",
    )
    assert (second["event"], second["level"]) == ("lost the broker", "error")


def test_a_group_that_looks_for_its_coordinator_is_news_only_if_it_does_not_find_it(
    logs: Logs,
) -> None:
    group = logging.getLogger("aiokafka.consumer.group_coordinator")

    def fail(*, at: int, cause: Exception | None = None) -> None:
        exc_info = (type(cause), cause, None) if cause else None
        record = group.makeRecord(group.name, logging.ERROR, "", 0, "failed", (), exc_info)
        record.created = at
        group.handle(record)

    for start in (100, 200):
        for second in range(3):
            fail(at=start + second)
    assert logs.lines() == []
    fail(at=250, cause=RuntimeError("broken"))
    assert len(logs.lines()) == 1
    for second in range(30):
        fail(at=300 + second)
    assert len(logs.lines()) == 1 + 20


def test_uvicorns_access_log_is_shut_off_because_it_writes_query_strings(logs: Logs) -> None:
    access = logging.getLogger("uvicorn.access")
    access.info("GET /api/stream?ticket=abc")
    assert logs.lines() == []
    assert not access.propagate


@pytest.mark.parametrize(
    "name",
    [
        *("authorization", "Authorization", "password", "newPassword", "accessToken", "token"),
        *("prompt", "negative_prompt", "jwt_secret", "SECRET", "api_key", "apiKey", "ticket"),
    ],
)
def test_secrets_are_hidden_by_name_at_any_depth(logs: Logs, name: str) -> None:
    structlog.get_logger().info("x", **{name: "opensesame"}, deep=[{"in": {name: "opensesame"}}])
    text = logs.stream.getvalue().decode()
    assert "opensesame" not in text
    assert text.count("(hidden)") == 2


@pytest.mark.parametrize("name", ["tokens", "input_tokens", "secretary", "key", "promptness"])
def test_harmless_names_are_kept(name: str) -> None:
    assert not is_secret(name)


@pytest.mark.parametrize(
    "text",
    [
        "sent Authorization: Bearer opensesame.opensesame",
        "GET /api/stream?a=1&ticket=opensesame HTTP/1.1",
        "cannot connect to postgresql://ledger:opensesame@db/daygen",
        "got eyJopensesame.eyJopensesame.opensesame",
        "dg_0199000000007000800000000000000f_opensesame",
    ],
)
def test_credentials_inside_a_text_are_hidden(logs: Logs, text: str) -> None:
    structlog.get_logger().info(text)
    logging.getLogger("faststream").warning(text)
    assert "opensesame" not in logs.stream.getvalue().decode()
    assert len(logs.lines()) == 2


def test_an_exception_is_one_line_without_its_secrets(logs: Logs) -> None:
    dsn = "postgresql://ledger:opensesame@db/daygen"
    try:
        raise OSError(f"cannot connect to {dsn}")  # noqa: TRY301  # a traceback is what is tested
    except OSError:
        structlog.get_logger().exception("failed", error_code="unavailable")
        logging.getLogger("uvicorn.error").exception("failed too")
    first, second = logs.lines()
    assert "OSError: cannot connect to postgresql://ledger:(hidden)@db" in first["exception"]
    assert "OSError: cannot connect to postgresql://ledger:(hidden)@db" in second["exception"]


def test_what_json_does_not_know_is_written_as_text(logs: Logs) -> None:
    structlog.get_logger().info("x", path=object)
    assert logs.lines()[0]["path"] == "<class 'object'>"


def test_a_trace_is_on_the_log_lines_and_ends_with_its_block(logs: Logs) -> None:
    trace = Traceparent.new(Random(1))
    with tracing(trace):
        structlog.get_logger().info("inside")
        assert current_traceparent() == str(trace)
    assert current_traceparent() is None
    assert logs.lines()[0]["trace_id"] == trace.trace_id


def test_a_traceparent_survives_the_wire_and_its_child_stays_in_the_trace() -> None:
    random = Random(5)
    root = Traceparent.new(random)
    child = root.child(random)
    assert Traceparent.parse(str(root)) == root
    assert child.trace_id == root.trace_id
    assert child.parent_id != root.parent_id


def test_a_newer_version_is_read_as_far_as_we_know_it() -> None:
    text = f"01-{'a' * 32}-{'b' * 16}-01-later"
    assert Traceparent.parse(text) == Traceparent("a" * 32, "b" * 16, "01")


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "nonsense",
        f"ff-{'a' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'b' * 16}-01-more",
        f"00-{'0' * 32}-{'b' * 16}-01",
        f"00-{'a' * 32}-{'0' * 16}-01",
        f"00-{'A' * 32}-{'b' * 16}-01",
        f"00-{'a' * 31}-{'b' * 16}-01",
    ],
)
def test_a_malformed_traceparent_is_ignored(header: str | None) -> None:
    assert Traceparent.parse(header) is None
