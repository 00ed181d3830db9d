"""Which events `./daygen events tail` chooses, and how it shows them."""

from uuid import uuid4

import pytest
from aiokafka import ConsumerRecord

from libs.events import testing
from libs.events.envelope import encode
from tools import cli
from tools.events import tail

REQUEST = testing.request_facts()
CORRELATION = uuid4()
COMPLETED = encode(testing.event(testing.completed(REQUEST), correlation_id=CORRELATION))
NO_EVENT = b"\xff not an event " + str(REQUEST.job_id).encode()


def record(value: bytes) -> ConsumerRecord:
    return ConsumerRecord("daygen.generation", 3, 7, 1_700_000_000_012, 0, b"k", value, 0, 0, 1, ())


def test_without_a_filter_everything_is_shown() -> None:
    matches = tail.matcher()
    assert matches(COMPLETED)
    assert matches(NO_EVENT)


def test_each_filter_takes_its_own_and_refuses_others() -> None:
    completed = {"daygen.generation.completed"}
    assert tail.matcher(types=completed)(COMPLETED)
    assert not tail.matcher(types={"daygen.generation.failed"})(COMPLETED)
    assert tail.matcher(account=REQUEST.account_id)(COMPLETED)
    assert not tail.matcher(account=REQUEST.job_id)(COMPLETED)
    assert tail.matcher(job=REQUEST.job_id)(COMPLETED)
    assert not tail.matcher(job=REQUEST.account_id)(COMPLETED)
    assert tail.matcher(correlation=CORRELATION)(COMPLETED)
    assert not tail.matcher(correlation=REQUEST.job_id)(COMPLETED)
    assert tail.matcher(types=completed, job=REQUEST.job_id, correlation=CORRELATION)(COMPLETED)
    assert not tail.matcher(job=REQUEST.job_id, correlation=uuid4())(COMPLETED)


def test_what_is_no_event_passes_no_filter() -> None:
    assert not tail.matcher(job=REQUEST.job_id)(NO_EVENT)


def test_a_line_says_when_what_by_whom_and_about_what() -> None:
    assert tail.show_line(record(COMPLETED)) == (
        "2026-01-02T03:04:05.678Z  daygen.generation.completed          generation  "
        f"subject {REQUEST.job_id}  account {REQUEST.account_id}  correlation {CORRELATION}"
    )


def test_a_line_of_what_is_no_event_says_where_it_stands() -> None:
    assert tail.show_line(record(NO_EVENT)) == (
        "2023-11-14T22:13:20.012Z  not an event: daygen.generation[3] at 7"
    )


def test_json_is_one_line_whatever_the_message() -> None:
    assert tail.show_json(record(COMPLETED)).encode() == COMPLETED
    assert "\n" not in tail.show_json(record(b'{\n"a": "\xff"\n}'))


@pytest.mark.parametrize(
    ("option", "text"),
    [("--type", "picture.painted"), ("-n", "0"), ("-n", "many"), ("--job", "seven")],
)
def test_an_option_that_makes_no_sense_is_refused(
    option: str, text: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as refusal:
        cli.main(["events", "tail", option, text])
    assert refusal.value.code == 2
    assert text in capsys.readouterr().err


def test_the_first_word_of_a_type_may_be_left_out() -> None:
    assert tail.known_type("usage.recorded") == tail.known_type("daygen.usage.recorded")
