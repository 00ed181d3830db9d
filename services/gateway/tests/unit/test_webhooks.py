"""Signatures as Standard Webhooks has them, what may be asked for, and the ladder of attempts."""

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from services.gateway.domain.feed import FeedKind
from services.gateway.domain.text import InvalidRequestError
from services.gateway.domain.webhooks import (
    EVENTS,
    LADDER,
    Outcome,
    Scheme,
    Signer,
    check_events,
    check_scheme,
    delay_after,
)

AT = datetime(2026, 11, 21, 12, tzinfo=UTC)


def test_a_message_is_signed_as_the_standards_example() -> None:
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    signer = Signer(scheme=Scheme.HMAC, secret=secret)
    at = datetime.fromtimestamp(1614265330, tz=UTC)
    signed = signer.signatures("msg_p5jXN8AQM9LWM0D4loKWxJek", at, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
    assert signer.shown == "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_a_public_key_verifies_what_nobody_else_can_sign() -> None:
    signer = Signer(scheme=Scheme.ED25519, secret=bytes(range(32)))
    prefix, _, key = signer.shown.partition("_")
    version, _, signature = signer.signatures("id", AT, b"{}").partition(",")
    assert (prefix, version) == ("whpk", "v1a")
    public = Ed25519PublicKey.from_public_bytes(base64.b64decode(key))
    message = b"id.%d.{}" % AT.timestamp()
    public.verify(base64.b64decode(signature), message)
    with pytest.raises(InvalidSignature):
        public.verify(base64.b64decode(signature), message + b" ")


@pytest.mark.parametrize("scheme", Scheme)
def test_a_secret_that_was_replaced_signs_as_well_for_a_while(scheme: Scheme) -> None:
    old = Signer(scheme=scheme, secret=b"o" * 32)
    rotated = old.rotated(b"n" * 32, at=AT, overlap=timedelta(hours=1))
    new = Signer(scheme=scheme, secret=b"n" * 32)
    during, after = AT + timedelta(minutes=59), AT + timedelta(hours=1)
    both = f"{new.signatures('1', during, b'{}')} {old.signatures('1', during, b'{}')}"
    assert rotated.signatures("1", during, b"{}") == both
    assert rotated.signatures("1", after, b"{}") == new.signatures("1", after, b"{}")
    assert rotated.shown == new.shown


def test_only_events_that_there_are_can_be_asked_for() -> None:
    assert check_events(None) == EVENTS
    asked = ["job.failed", "job.completed"]
    assert check_events(asked) == (FeedKind.JOB_COMPLETED, FeedKind.JOB_FAILED)
    for wrong in ([], ["job"], ["balance.changed"], ["job.failed", "*"]):
        with pytest.raises(InvalidRequestError):
            check_events(wrong)
    assert (check_scheme(None), check_scheme("ed25519")) == (Scheme.HMAC, Scheme.ED25519)
    with pytest.raises(InvalidRequestError):
        check_scheme("none")


def failed(status: int | None = 500, retry_after: float | None = None) -> Outcome:
    rest = None if retry_after is None else timedelta(seconds=retry_after)
    return Outcome(status=status, error="no", latency_ms=1, retry_after=rest)


def test_attempts_become_rarer_and_end_after_three_days() -> None:
    delays = [delay_after(step, failed(), 0.0) for step in range(1, len(LADDER) + 1)]
    assert delays == list(LADDER)
    assert timedelta(days=3) < sum(LADDER, timedelta()) < timedelta(days=5)
    assert delay_after(len(LADDER) + 1, failed(), 0.0) is None
    spread = delay_after(1, failed(), 1.0)
    assert spread is not None
    assert LADDER[0] < spread <= LADDER[0] * 1.2


def test_a_receiver_may_ask_for_more_time_and_for_an_end() -> None:
    assert delay_after(1, failed(503, 60), 0.5) == timedelta(seconds=60)
    assert delay_after(1, failed(503, 1e9), 0.0) == LADDER[-1]
    assert delay_after(4, failed(503, 1), 0.0) == LADDER[3]
    assert delay_after(1, failed(410), 0.0) is None
