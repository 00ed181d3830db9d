"""Addresses of private pictures: good for one object, for a while, under keys that change."""

from datetime import UTC, datetime, timedelta
from urllib.parse import parse_qs

import pytest

from libs.runtime.asset_addresses import AssetSigner, Signature
from libs.runtime.clock import SystemClock

KEY = "attempts/7f/1.png"
OLD, NEW = b"o" * 32, b"n" * 32
DAYS = 7


class Clock(SystemClock):
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)

    def now(self) -> datetime:
        return self.at


def signer(clock: Clock, *keys: bytes) -> AssetSigner:
    return AssetSigner(keys, clock, timedelta(days=DAYS))


def parts(signed: str) -> tuple[str, str]:
    found = parse_qs(signed.partition("?")[2])
    return found["expires"][0], found["signature"][0]


def test_an_address_is_good_for_its_object_until_it_expires() -> None:
    clock = Clock()
    at_work = signer(clock, NEW)
    expires, signature = parts(at_work.signed(KEY))
    for days, worth in ((0, Signature.GOOD), (DAYS, Signature.GOOD), (9, Signature.EXPIRED)):
        clock.at = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC) + timedelta(days=days)
        assert at_work.judge(KEY, expires, signature) is worth
    assert at_work.judge("attempts/7f/2.png", expires, signature) is Signature.NONE
    assert at_work.judge(KEY, str(int(expires) + 1), signature) is Signature.NONE


def test_an_address_stays_the_same_for_a_while_so_that_caches_know_it() -> None:
    clock = Clock()
    at_work = signer(clock, NEW)
    seen = set()
    for _ in range(24):
        seen.add(at_work.signed(KEY))
        clock.at += timedelta(hours=1)
    assert len(seen) == 2


def test_keys_are_changed_without_breaking_what_was_given_out() -> None:
    clock = Clock()
    expires, signature = parts(signer(clock, OLD).signed(KEY))
    assert signer(clock, NEW, OLD).judge(KEY, expires, signature) is Signature.GOOD
    assert signer(clock, NEW).judge(KEY, expires, signature) is Signature.NONE
    assert signer(clock, NEW, OLD).signed(KEY) == signer(clock, NEW).signed(KEY)


@pytest.mark.parametrize(
    ("expires", "signature"),
    [
        (None, None),
        ("", ""),
        ("9" * 13, "x"),
        ("-1", "x"),
        ("٣", "x"),
        ("1767323045", "\ud800"),
        ("1767323045", "a" * 5_000),
    ],
)
def test_what_is_no_signature_is_none(expires: str | None, signature: str | None) -> None:
    assert signer(Clock(), NEW).judge(KEY, expires, signature) is Signature.NONE
