"""What a provider's call about one of its jobs proves, and which job it is about.

The signature proves that the provider knows our secret. What it says of the job is not believed:
the job is asked about again. Source: the provider sheet, sections 9 and 16 (of low confidence).
"""

import hashlib
import hmac

import msgspec

ID_CHARS_MAX = 200
_PREFIX = "sha256="


class UnknownJobError(ValueError):
    """The call names no job."""


def is_genuine(body: bytes, signature: str, secret: str) -> bool:
    """Whether the body is signed with the secret; with no secret nothing is."""
    expected = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    given = signature.strip().removeprefix(_PREFIX).lower()
    return bool(secret) and hmac.compare_digest(expected.encode(), given.encode())


def submission_in(body: bytes) -> str:
    """The provider's id of the job.

    Raises:
        UnknownJobError: there is none.
    """
    try:
        told = msgspec.json.decode(body)
    except msgspec.DecodeError as error:
        raise UnknownJobError("no JSON") from error
    found = told if isinstance(told, dict) else {}
    name = found.get("id") or found.get("task_id")
    if not isinstance(name, str) or not 0 < len(name) <= ID_CHARS_MAX:
        raise UnknownJobError("no id")
    return name
