"""Tokens of an outside issuer: what is taken, what is refused, and how keys are fetched."""

import asyncio
import base64
import hashlib
import hmac
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from aiohttp import web
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from pydantic import SecretStr

from libs.runtime.errors import Unauthorized
from services.gateway.adapters.outside_issuer import (
    FETCH_SECONDS,
    KEYS_SECONDS,
    IssuerUnavailable,
    OutsideIssuer,
)

ISSUER = "https://project.example.com/auth/v1"
AUDIENCE = "authenticated"
SECRET = "between the issuer and us alone: 32 bytes"
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
EC_KEY = ec.generate_private_key(ec.SECP256R1())
RSA_KEY = rsa.generate_private_key(public_exponent=65537, key_size=2048)
OTHER_KEY = ec.generate_private_key(ec.SECP256R1())


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> datetime:
        return NOW + timedelta(seconds=self.passed)

    def monotonic(self) -> float:
        return self.passed

    async def sleep(self, seconds: float) -> None:
        self.passed += seconds


def claims(**changes: Any) -> dict[str, Any]:
    usual = {
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": "6f0c4d6e-person",
        "email": "Ada@Example.com",
        "role": "authenticated",
        "iat": int(NOW.timestamp()),
        "exp": int(NOW.timestamp()) + 3600,
    }
    return {name: value for name, value in (usual | changes).items() if value is not None}


def shared(key: Any = SECRET, algorithm: str = "HS256", **changes: Any) -> str:
    return jwt.encode(claims(**changes), key, algorithm=algorithm)


def signed(key: Any = EC_KEY, algorithm: str = "ES256", kid: str | None = "ec", **c: Any) -> str:
    return jwt.encode(claims(**c), key, algorithm=algorithm, headers={"kid": kid} if kid else {})


def public(key: Any, kid: str, **more: Any) -> dict[str, Any]:
    kind = jwt.algorithms.ECAlgorithm if isinstance(key, ec.EllipticCurvePrivateKey) else None
    algorithm = kind or jwt.algorithms.RSAAlgorithm
    told: dict[str, Any] = json.loads(algorithm.to_jwk(key.public_key()))
    return told | {"kid": kid, "use": "sig"} | more


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")


def pem() -> bytes:
    return EC_KEY.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


def by_hand(header: dict[str, Any], key: bytes) -> str:
    """A token as a forger would make it, with whatever key for HS256."""
    body = f"{part(header)}.{part(claims())}"
    signature = hmac.digest(key, body.encode(), hashlib.sha256)
    return f"{body}.{base64.urlsafe_b64encode(signature).decode().rstrip('=')}"


class Keys:
    """An issuer's address of keys."""

    def __init__(self) -> None:
        self.asked = 0
        self.url = ""
        self.keys: list[dict[str, Any]] = [public(EC_KEY, "ec"), public(RSA_KEY, "rsa")]
        self.answer: web.StreamResponse | None = None

    async def serve(self, _request: web.Request) -> web.StreamResponse:
        self.asked += 1
        return self.answer or web.json_response({"keys": self.keys})


@pytest.fixture
async def keys() -> AsyncIterator[Keys]:
    served = Keys()
    app = web.Application()
    app.router.add_get("/jwks.json", served.serve)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    served.url = f"http://127.0.0.1:{runner.addresses[0][1]}/jwks.json"
    yield served
    await runner.cleanup()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def issuer_with(clock: Clock, secret: str | None = None, url: str | None = None) -> OutsideIssuer:
    return OutsideIssuer(
        issuer=ISSUER,
        audience=AUDIENCE,
        secret=SecretStr(secret) if secret else None,
        keys_url=url,
        trusts_emails=False,
        clock=clock,
    )


async def test_genuine_tokens_of_both_kinds_are_taken(clock: Clock, keys: Keys) -> None:
    issuer = issuer_with(clock, SECRET, keys.url)
    async with issuer.opened():
        for token in (shared(), signed(), signed(RSA_KEY, "RS256", "rsa")):
            assert issuer.has_issued(token)
            person = await issuer.verify(token)
            assert (person.issuer, person.subject) == (ISSUER, "6f0c4d6e-person")
            assert person.email is None  # nobody says that it is theirs
        known = await issuer.verify(shared(email_verified=True))
    assert known.email == "Ada@Example.com"
    assert keys.asked == 1


@pytest.mark.parametrize(
    "told", [{"user_metadata": {"email_verified": True}}, {"email_verified": "true"}]
)
async def test_what_a_person_can_say_of_themselves_verifies_no_email(
    clock: Clock, told: dict[str, Any]
) -> None:
    assert (await issuer_with(clock, SECRET).verify(shared(**told))).email is None


HOSTILE = {
    "nothing": "",
    "no token": "a.b.c",
    "none": f"{part({'alg': 'none', 'typ': 'JWT'})}.{part(claims())}.",
    "None": f"{part({'alg': 'None', 'kid': 'ec'})}.{part(claims())}.",
    "no algorithm": f"{part({'typ': 'JWT'})}.{part(claims())}.",
    "another secret": shared("x" * 40),
    "another hash": shared("s" * 64, "HS512"),
    "a public key as a secret": by_hand({"alg": "HS256", "kid": "ec"}, pem()),
    "an empty secret": by_hand({"alg": "HS256"}, b""),
    "another key under a known name": signed(OTHER_KEY),
    "a name that nobody has": signed(kid="nobody"),
    "no name": signed(kid=None),
    "another algorithm than the key's": signed(RSA_KEY, "RS256", "ec"),
    "a key that it brings along": jwt.encode(
        claims(), OTHER_KEY, "ES256", headers={"jwk": public(OTHER_KEY, "own"), "kid": "own"}
    ),
    "a key that it says where to fetch": jwt.encode(
        claims(), OTHER_KEY, "ES256", headers={"jku": "http://127.0.0.1:9/", "kid": "own"}
    ),
    "changed": ".".join([shared().split(".")[0], part(claims(sub="else")), shared().split(".")[2]]),
    "wrong issuer": shared(iss="https://elsewhere.example.com"),
    "wrong audience": shared(aud="anon"),
    "no audience": shared(aud=None),
    "expired": shared(exp=int(NOW.timestamp()) - 60),
    "no end": shared(exp=None),
    "not yet": shared(nbf=int(NOW.timestamp()) + 60),
    "from the future": shared(iat=int(NOW.timestamp()) + 60),
    "endless": shared(exp=10**30),
    "no number": shared(exp="soon"),
    "nobody": shared(sub=None),
    "an empty name": shared(sub=""),
    "a long name": shared(sub="x" * 256),
    "a NUL": shared(sub="a\0b"),
}


@pytest.mark.parametrize("token", HOSTILE.values(), ids=HOSTILE.keys())
async def test_everything_else_is_refused(clock: Clock, keys: Keys, token: str) -> None:
    issuer = issuer_with(clock, SECRET, keys.url)
    async with issuer.opened():
        assert (await issuer.verify(shared())).subject
        with pytest.raises(Unauthorized):
            await issuer.verify(token)


async def test_only_the_kind_of_key_that_is_configured_is_taken(clock: Clock, keys: Keys) -> None:
    public_alone = issuer_with(clock, url=keys.url)
    async with public_alone.opened():
        assert (await public_alone.verify(signed())).subject
        for token in (shared(), by_hand({"alg": "HS256", "kid": "ec"}, pem())):
            with pytest.raises(Unauthorized):
                await public_alone.verify(token)
    with pytest.raises(Unauthorized):
        await issuer_with(clock, SECRET).verify(signed())


async def test_tokens_of_others_are_left_to_them(clock: Clock) -> None:
    issuer = issuer_with(clock, SECRET)
    for token in ("", "x", "a.b.c", "dg_key", "x" * 9_000, shared(iss="/daygen/gateway")):
        assert not issuer.has_issued(token)
    deep = f"{part({'alg': 'HS256'})}.{part('[' * 3_000)}.x"
    assert not issuer.has_issued(deep)


async def test_keys_are_fetched_once_for_many_and_again_when_they_are_old(
    clock: Clock, keys: Keys
) -> None:
    issuer = issuer_with(clock, url=keys.url)
    async with issuer.opened():
        await asyncio.gather(*(issuer.verify(signed()) for _ in range(20)))
        assert keys.asked == 1
        keys.keys = [public(OTHER_KEY, "ec")]
        clock.passed = KEYS_SECONDS + 1
        with pytest.raises(Unauthorized):
            await issuer.verify(signed())  # withdrawn
        assert (await issuer.verify(signed(OTHER_KEY))).subject
    assert keys.asked == 2


async def test_a_new_key_is_found_and_unknown_names_do_not_hammer_the_issuer(
    clock: Clock, keys: Keys
) -> None:
    issuer = issuer_with(clock, url=keys.url)
    async with issuer.opened():
        await issuer.verify(signed())
        for number in range(50):
            with pytest.raises(Unauthorized):
                await issuer.verify(signed(kid=f"made up {number}"))
        assert keys.asked == 1
        keys.keys.append(public(OTHER_KEY, "new"))
        clock.passed += FETCH_SECONDS
        assert (await issuer.verify(signed(OTHER_KEY, kid="new"))).subject
    assert keys.asked == 2


async def test_while_the_issuer_is_away_its_last_word_holds(clock: Clock, keys: Keys) -> None:
    issuer = issuer_with(clock, url=keys.url)
    async with issuer.opened():
        keys.answer = web.Response(status=500)
        with pytest.raises(IssuerUnavailable):
            await issuer.verify(signed())
        clock.passed += FETCH_SECONDS
        keys.answer = None
        assert (await issuer.verify(signed())).subject
        too_large = json.dumps({"keys": [], "padding": "x" * 300_000})
        for text in (too_large, "[1]", '{"keys": 3}', "{"):
            keys.answer = web.Response(text=text)
            clock.passed += KEYS_SECONDS
            assert (await issuer.verify(signed(exp=int(NOW.timestamp()) + 90_000))).subject


async def test_keys_for_other_uses_are_passed_over(clock: Clock, keys: Keys) -> None:
    secret = base64.urlsafe_b64encode(b"k" * 32).decode().rstrip("=")
    keys.keys = [
        public(EC_KEY, "ec", use="enc"),
        {"kty": "oct", "k": secret, "kid": "oct", "alg": "HS256", "use": "sig"},
        {"kty": "EC", "kid": "broken"},
        {},
    ]
    issuer = issuer_with(clock, url=keys.url)
    async with issuer.opened():
        for token in (
            signed(),
            shared("k" * 32),
            by_hand({"alg": "HS256", "kid": "oct"}, b"k" * 32),
        ):
            with pytest.raises(Unauthorized):
                await issuer.verify(token)
