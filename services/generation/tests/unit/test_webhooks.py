"""What a provider's call proves, and which job it is about."""

import hashlib
import hmac

import pytest

from services.generation.domain.webhooks import UnknownJobError, is_genuine, submission_in

BODY = b'{"id": "abc", "status": "Ready"}'
DIGEST = hmac.new(b"secret", BODY, hashlib.sha256).hexdigest()


@pytest.mark.parametrize("signature", [DIGEST, f"sha256={DIGEST}", f" sha256={DIGEST.upper()} "])
def test_a_body_signed_with_the_secret_is_genuine(signature: str) -> None:
    assert is_genuine(BODY, signature, "secret")


@pytest.mark.parametrize(
    ("body", "signature", "secret"),
    [
        (BODY, "", "secret"),
        (BODY, "sha256=", "secret"),
        (BODY, DIGEST, "another"),
        (BODY + b" ", DIGEST, "secret"),
        (BODY, "ü" * 64, "secret"),
        (BODY, hmac.new(b"", BODY, hashlib.sha256).hexdigest(), ""),
    ],
    ids=["none", "empty", "other secret", "other body", "no hex", "no secret"],
)
def test_what_is_signed_otherwise_is_not(body: bytes, signature: str, secret: str) -> None:
    assert not is_genuine(body, signature, secret)


def test_the_job_is_named_in_either_way() -> None:
    assert submission_in(BODY) == "abc"
    assert submission_in(b'{"task_id": "def"}') == "def"


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"id": 5}', b'{"id": ""}', b"\xff", b"[" * 99]
)
def test_a_call_about_no_job_is_refused(body: bytes) -> None:
    with pytest.raises(UnknownJobError):
        submission_in(body)
