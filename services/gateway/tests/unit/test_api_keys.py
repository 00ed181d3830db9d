"""The form of API keys, and what can be asked of one."""

import secrets
from uuid import uuid4

import pytest

from services.gateway.domain.api_keys import (
    Scope,
    check_name,
    check_scopes,
    hashed,
    is_same,
    parsed,
    written,
)
from services.gateway.domain.text import InvalidRequestError

KEY_ID = "0f" * 16


def test_a_key_says_its_id_and_the_hash_of_its_secret() -> None:
    key_id, secret = uuid4(), secrets.token_urlsafe(32)
    key = written(key_id, secret)
    assert key.startswith("dg_")
    assert parsed(key) == (key_id, hashed(secret))
    assert not is_same(hashed(secret), hashed(secret[:-1] + "="))


@pytest.mark.parametrize(
    "token",
    [
        "dg_",
        "dg_x_y",
        f"dg_{KEY_ID}",
        f"dg_{KEY_ID}_",
        f"dg_{KEY_ID}_{'a' * 42}",
        f"dg_{KEY_ID}_{'a' * 44}",
        f"dg_{KEY_ID}_{'ä' * 43}",
        f"dg_{'z' * 32}_{'a' * 43}",
        f"dg_{KEY_ID[:31]}é_{'a' * 43}",
    ],
)
def test_what_cannot_be_a_key_is_none(token: str) -> None:
    assert parsed(token) is None


def test_scopes_come_once_each_and_never_include_an_administrators() -> None:
    assert check_scopes(["generate", "read", "read"]) == (Scope.READ, Scope.GENERATE)
    for wrong in ([], ["admin"], ["read", "admin"], ["READ"]):
        with pytest.raises(InvalidRequestError):
            check_scopes(wrong)


@pytest.mark.parametrize("name", [None, "", "  ", "x" * 101, "a\0b"])
def test_a_key_needs_a_name(name: str | None) -> None:
    with pytest.raises(InvalidRequestError):
        check_name(name)
