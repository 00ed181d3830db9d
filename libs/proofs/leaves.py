"""What the ledger's log commits to: the canonical JSON of an event, as anybody can read it."""

from typing import Any

from libs.proofs.canonical import canonical, read_json
from libs.proofs.merkle import leaf_hash


def leaf_of(encoded: bytes) -> bytes:
    """The leaf hash of an event in any spelling: publishing it again changes nothing.

    Raises:
        NotCanonicalError: it is no JSON that can be spelled canonically.
    """
    return leaf_of_value(read_json(encoded))


def leaf_of_value(event: Any) -> bytes:
    """The same, of an event that has been read.

    Raises:
        NotCanonicalError: it cannot be spelled canonically.
    """
    return leaf_hash(canonical(event))
