"""A second verifier of receipts, out of the standard library alone.

It shares no line with ours: Ed25519 as RFC 8032 describes it, trees by RFC 9162's definition of a
path, JSON by Python's own module. It takes a receipt's text and the published document of keys.
"""

import base64
import hashlib
import json
from typing import Any

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
SQRT_M1 = pow(2, (P - 1) // 4, P)

Point = tuple[int, int, int, int]  # extended homogeneous coordinates: X, Y, Z, T


class WrongError(Exception):
    """The receipt does not hold."""


def expect(condition: object, what: str) -> None:
    if not condition:
        raise WrongError(what)


def add(p: Point, q: Point) -> Point:
    a, b = (p[1] - p[0]) * (q[1] - q[0]) % P, (p[1] + p[0]) * (q[1] + q[0]) % P
    c, d = 2 * p[3] * q[3] * D % P, 2 * p[2] * q[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(scalar: int, p: Point) -> Point:
    q: Point = (0, 1, 1, 0)
    while scalar:
        if scalar & 1:
            q = add(q, p)
        p = add(p, p)
        scalar >>= 1
    return q


def decompress(encoded: bytes) -> Point:
    expect(len(encoded) == 32, "a point has 32 bytes")
    y = int.from_bytes(encoded, "little")
    sign, y = y >> 255, y & ((1 << 255) - 1)
    expect(y < P, "a point's y is below p")
    x2 = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(x2, (P + 3) // 8, P)
    if (x * x - x2) % P:
        x = x * SQRT_M1 % P
    expect((x * x - x2) % P == 0, "it is no point of the curve")
    expect(x or not sign, "it is no point of the curve")
    if x & 1 != sign:
        x = P - x
    return x, y, 1, x * y % P


BASE = decompress((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))


def check_signature(public: bytes, message: bytes, signature: bytes) -> None:
    """RFC 8032, section 5.1.7."""
    expect(len(signature) == 64, "a signature has 64 bytes")
    a, r = decompress(public), decompress(signature[:32])
    s = int.from_bytes(signature[32:], "little")
    expect(s < L, "s is below the group's order")
    digest = hashlib.sha512(signature[:32] + public + message).digest()
    k = int.from_bytes(digest, "little") % L
    left, right = times(s, BASE), add(r, times(k, a))
    expect((left[0] * right[2] - right[0] * left[2]) % P == 0, "the signature is another's")
    expect((left[1] * right[2] - right[1] * left[2]) % P == 0, "the signature is another's")


def spelled(value: Any) -> bytes:
    """RFC 8785, for values without fractions whose names are ASCII."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def decoded(text: str) -> bytes:
    data = base64.b64decode(text, validate=True)
    expect(base64.b64encode(data).decode() == text, "base64 has one spelling")
    return data


def root(leaf: bytes, index: int, size: int, path: list[bytes]) -> bytes:
    """The root that a path leads to, by the recursive definition of RFC 9162, section 2.1.3.1."""
    if size == 1:
        expect(index == 0 and not path, "the path has another length")
        return leaf
    k = 1 << (size - 1).bit_length() - 1
    expect(path, "the path has another length")
    *below, last = path
    if index < k:
        return hashlib.sha256(b"\1" + root(leaf, index, k, below) + last).digest()
    return hashlib.sha256(b"\1" + last + root(leaf, index - k, size - k, below)).digest()


def key_of(document: bytes, name: str, key_id: str) -> bytes:
    """A published key, by its name and id."""
    for each in json.loads(document)["keys"]:
        found, found_id, encoded = each["key"].split("+", 2)
        material = decoded(encoded)
        told = hashlib.sha256(found.encode() + b"\n" + material).hexdigest()[:8]
        if (found, found_id) == (name, key_id) and told == key_id and material[:1] == b"\1":
            return material[1:]
    raise WrongError("no published key has signed it")


def checkpoint(note: str, document: bytes, origin: str) -> tuple[int, bytes]:
    """Size and root of a signed checkpoint of that log."""
    text, line = note.split("\n\n— ")
    name, signature = line.removesuffix("\n").split(" ")
    expect(line.endswith("\n"), "a note ends with a newline")
    signed = decoded(signature)
    check_signature(key_of(document, name, signed[:4].hex()), (text + "\n").encode(), signed[4:])
    told, size, encoded = text.split("\n")
    expect(told == origin, "it is of another log")
    return int(size), decoded(encoded)


def verify(text: bytes, document: bytes) -> dict[str, Any]:
    """The receipt, if all of it holds.

    Raises:
        WrongError, ValueError, KeyError, TypeError: it does not.
    """
    receipt: dict[str, Any] = json.loads(text)
    expect(spelled(receipt) == text, "it is not spelled canonically")
    name, key_id, signature = receipt["signature"].split("+", 2)
    body = {each: value for each, value in receipt.items() if each != "signature"}
    check_signature(
        key_of(document, name, key_id), b"daygen receipt v1\n" + spelled(body), decoded(signature)
    )
    log = receipt["log"]
    size, expected = checkpoint(log["checkpoint"], document, log["origin"])
    for entry in log["entries"]:
        leaf = hashlib.sha256(b"\0" + spelled(entry["event"])).digest()
        path = [decoded(each) for each in entry["proof"]]
        expect(0 <= entry["position"] < size, "there is no such leaf")
        expect(root(leaf, entry["position"], size, path) == expected, "the event is not in the log")
    reserved, closed = (each["event"] for each in log["entries"])
    job, moved = receipt["job"], receipt["credits"]
    for event in (reserved, closed):
        expect(event["data"]["job_id"] == job["jobId"], "it is another job's")
    expect(reserved["data"]["credits"] == moved["held"], "the hold is another")
    charged = closed["data"]["credits"] if closed["type"].endswith(".captured") else 0
    expect(charged == moved["captured"], "the charge is another")
    expect(closed["data"]["released_credits"] == moved["released"], "the rest is another")
    return receipt
