"""Merkle trees as certificate logs have them (RFC 6962, RFC 9162 section 2.1): SHA-256.

A tree of n leaves splits at the largest power of two below n. So all of its parts but those at its
right edge are perfect, never change again, and are named by their height and number.
"""

from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()

Node = Callable[[int, int], bytes]
"""The hash of the perfect subtree of a height (leaves: 0) and a number, counted from the left."""

Span = tuple[int, int]
"""Leaves from the first index up to the second, which is not in it."""


class ProofError(ValueError):
    """The proof does not prove it; the text says what does not fit."""


def leaf_hash(data: bytes) -> bytes:
    """Hash of a leaf."""
    return sha256(b"\0" + data).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def perfect_subtrees(span: Span) -> Iterator[tuple[int, int]]:
    """(height, number) of the perfect subtrees that a subtree of the log consists of, from left."""
    first, stop = span
    while first < stop:
        height = (stop - first).bit_length() - 1
        yield height, first >> height
        first += 1 << height


def span_hash(span: Span, node: Node) -> bytes:
    """Hash of a subtree of the log; the tree itself is the span from 0."""
    hashes = [node(*each) for each in perfect_subtrees(span)]
    if not hashes:
        return EMPTY_ROOT
    found = hashes.pop()
    while hashes:
        found = node_hash(hashes.pop(), found)
    return found


def inclusion_spans(index: int, size: int) -> list[Span]:
    """The subtrees whose hashes prove that a leaf is in a tree, in the order of the proof.

    Raises:
        ProofError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ProofError(f"A tree of {size} leaves has no leaf {index}.")
    spans: list[Span] = []
    first, stop = 0, size
    while stop - first > 1:
        middle = first + _split(stop - first)
        if index < middle:
            spans.append((middle, stop))
            stop = middle
        else:
            spans.append((first, middle))
            first = middle
    return spans[::-1]


def consistency_spans(old: int, size: int) -> list[Span]:
    """The subtrees whose hashes prove that a tree begins with an older one, in order.

    Raises:
        ProofError: the older tree is empty, or larger.
    """
    if not 0 < old <= size:
        raise ProofError(f"A tree of {old} leaves is not the beginning of one of {size}.")
    spans: list[Span] = []
    first, stop, is_whole = 0, size, True  # whether the older tree's own root ends here
    while old != stop:
        middle = first + _split(stop - first)
        if old <= middle:
            spans.append((middle, stop))
            stop = middle
        else:
            spans.append((first, middle))
            first, is_whole = middle, False
    if not is_whole:
        spans.append((first, stop))
    return spans[::-1]


def verify_inclusion(
    leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes
) -> None:
    """Check that a leaf hash stands at an index of the tree with that root (RFC 9162, 2.1.3.2).

    Raises:
        ProofError: it does not.
    """
    if not 0 <= index < size:
        raise ProofError(f"A tree of {size} leaves has no leaf {index}.")
    found = leaf
    for each, is_left in _climb(index, size - 1, proof):
        found = node_hash(each, found) if is_left else node_hash(found, each)
    if found != root:
        raise ProofError(f"Leaf {index} is not in the tree of {size} leaves with that root.")


def verify_consistency(
    old: int, size: int, old_root: bytes, root: bytes, proof: Sequence[bytes]
) -> None:
    """Check that a tree begins with an older one (RFC 9162, 2.1.4.2).

    Raises:
        ProofError: it does not.
    """
    if not 0 < old <= size:
        raise ProofError(f"A tree of {old} leaves is not the beginning of one of {size}.")
    if old == size:
        if proof or old_root != root:
            raise ProofError(f"There are two different trees of {size} leaves.")
        return
    hashes = [old_root, *proof] if old & (old - 1) == 0 else list(proof)
    if not hashes:
        raise ProofError("The proof is too short.")
    place, last = old - 1, size - 1
    while place % 2:
        place, last = place >> 1, last >> 1
    found_old = found = hashes[0]
    for each, is_left in _climb(place, last, hashes[1:]):
        if is_left:
            found_old, found = node_hash(each, found_old), node_hash(each, found)
        else:
            found = node_hash(found, each)
    if (found_old, found) != (old_root, root):
        raise ProofError(f"The tree of {size} leaves does not begin with that of {old}.")


def _climb(place: int, last: int, proof: Sequence[bytes]) -> Iterator[tuple[bytes, bool]]:
    """The way from a node to the root: each hash of the proof, and whether it joins from the left.

    `last` is the number of the last node of its height.
    """
    for each in proof:
        if last == 0:
            raise ProofError("The proof is too long.")
        is_left = bool(place % 2) or place == last
        yield each, is_left
        while is_left and not place % 2 and place:
            place, last = place >> 1, last >> 1
        place, last = place >> 1, last >> 1
    if last:
        raise ProofError("The proof is too short.")


def _split(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)
