"""Merkle trees against the published vectors of RFC 6962 logs, and against the RFC's definition."""

from hashlib import sha256
from itertools import pairwise
from time import perf_counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from libs.proofs import merkle, tiles
from libs.proofs.merkle import ProofError
from libs.proofs.testing import root_of

# The test data that implementations of certificate transparency share: leaves, roots of the trees
# of the first n of them, and proofs (index from 1, or size of the older tree; size).
LEAVES = [
    bytes.fromhex(each)
    for each in (
        "", "00", "10", "2021", "3031", "40414243", "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]  # fmt: skip
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
A = "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7"
B = "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e"
C = "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4"
D = "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b"
E = "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0"
F = "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a"
INCLUSIONS = [
    (1, 1, []),
    (1, 8, [A, B, C]),
    (6, 8, [D, E, ROOTS[4]]),
    (3, 3, [ROOTS[2]]),
    (2, 5, [ROOTS[1], B, D]),
]
CONSISTENCIES = [
    (1, 1, []),
    (1, 8, [A, B, C]),
    (6, 8, [F, E, ROOTS[4]]),
    (2, 5, [B, D]),
]


def tree(count: int) -> dict[tuple[int, int], bytes]:
    """Tiles of a log with leaves of their own."""
    return grown(0, {}, [merkle.leaf_hash(str(each).encode()) for each in range(count)])


def grown(
    size: int, held: dict[tuple[int, int], bytes], leaves: list[bytes]
) -> dict[tuple[int, int], bytes]:
    edge = {key: held[key] for key in tiles.edge_of(size)}
    return {**held, **tiles.append(size, edge, leaves)}


def by_definition(leaves: list[bytes]) -> bytes:
    """MTH of RFC 9162, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + by_definition(leaves[:k]) + by_definition(leaves[k:])).digest()


@pytest.mark.parametrize("size", range(9))
def test_the_published_roots_come_out(size: int) -> None:
    leaves = [merkle.leaf_hash(each) for each in LEAVES[:size]]
    assert root_of(leaves).hex() == ROOTS[size]
    assert tiles.root(size, grown(0, {}, leaves)).hex() == ROOTS[size]


@pytest.mark.parametrize(("number", "size", "published"), INCLUSIONS)
def test_the_published_inclusion_proofs_come_out(
    number: int, size: int, published: list[str]
) -> None:
    leaves = [merkle.leaf_hash(each) for each in LEAVES[:size]]
    node = tiles.reader(grown(0, {}, leaves))
    proof = [merkle.span_hash(each, node) for each in merkle.inclusion_spans(number - 1, size)]
    assert [each.hex() for each in proof] == published
    root = bytes.fromhex(ROOTS[size])
    merkle.verify_inclusion(leaves[number - 1], number - 1, size, proof, root)


@pytest.mark.parametrize(("old", "size", "published"), CONSISTENCIES)
def test_the_published_consistency_proofs_come_out(
    old: int, size: int, published: list[str]
) -> None:
    node = tiles.reader(grown(0, {}, [merkle.leaf_hash(each) for each in LEAVES]))
    proof = [merkle.span_hash(each, node) for each in merkle.consistency_spans(old, size)]
    assert [each.hex() for each in proof] == published
    roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    merkle.verify_consistency(old, size, *roots, proof)


@settings(deadline=None, max_examples=40)
@given(st.lists(st.integers(1, 400), min_size=1, max_size=4), st.data())
def test_a_log_that_grew_in_steps_proves_every_leaf_and_every_beginning(
    steps: list[int], data: st.DataObject
) -> None:
    leaves = [merkle.leaf_hash(str(each).encode()) for each in range(sum(steps))]
    held: dict[tuple[int, int], bytes] = {}
    sizes = [0]
    for step in steps:
        held = grown(sizes[-1], held, leaves[sizes[-1] : sizes[-1] + step])
        sizes.append(sizes[-1] + step)
        edge = {key: held[key] for key in tiles.edge_of(sizes[-1])}
        assert tiles.root(sizes[-1], edge) == by_definition(leaves[: sizes[-1]])
    size = sizes[-1]
    root = by_definition(leaves)
    index = data.draw(st.integers(0, size - 1))
    spans = merkle.inclusion_spans(index, size)
    node = tiles.reader({key: held[key] for key in tiles.needed(spans)})
    proof = [merkle.span_hash(each, node) for each in spans]
    merkle.verify_inclusion(leaves[index], index, size, proof, root)
    with pytest.raises(ProofError):
        merkle.verify_inclusion(merkle.leaf_hash(b"another"), index, size, proof, root)
    for old, _ in pairwise(sizes[1:]):
        spans = merkle.consistency_spans(old, size)
        node = tiles.reader({key: held[key] for key in tiles.needed(spans)})
        proof = [merkle.span_hash(each, node) for each in spans]
        merkle.verify_consistency(old, size, by_definition(leaves[:old]), root, proof)


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 255, 256, 257, 300])
def test_a_proof_with_any_bit_changed_or_cut_or_longer_proves_nothing(size: int) -> None:
    held = tree(size)
    leaves = [merkle.leaf_hash(str(each).encode()) for each in range(size)]
    root, index = tiles.root(size, held), size // 2
    node = tiles.reader(held)
    proof = [merkle.span_hash(each, node) for each in merkle.inclusion_spans(index, size)]
    wrong = [proof[:-1]] if proof else []
    wrong += [[*proof, root], [root, *proof]]
    for at, each in enumerate(proof):
        for bit in range(256):
            changed = bytearray(each)
            changed[bit // 8] ^= 1 << bit % 8
            wrong.append([*proof[:at], bytes(changed), *proof[at + 1 :]])
    for other_proof in wrong:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(leaves[index], index, size, other_proof, root)
    for other in {0, size - 1, (index + 1) % size} - {index}:
        with pytest.raises(ProofError):
            merkle.verify_inclusion(leaves[index], other, size, proof, root)


@pytest.mark.parametrize(("old", "size"), [(1, 2), (3, 7), (4, 8), (255, 300), (256, 300)])
def test_a_log_that_was_written_anew_is_not_consistent(old: int, size: int) -> None:
    node = tiles.reader(tree(size))
    proof = [merkle.span_hash(each, node) for each in merkle.consistency_spans(old, size)]
    old_root = merkle.span_hash((0, old), node)
    root = merkle.span_hash((0, size), node)
    merkle.verify_consistency(old, size, old_root, root, proof)
    other = merkle.leaf_hash(b"other")
    for roots in ((other, root), (old_root, other)):
        with pytest.raises(ProofError):
            merkle.verify_consistency(old, size, *roots, proof)
    for at in range(len(proof)):
        with pytest.raises(ProofError):
            merkle.verify_consistency(
                old, size, old_root, root, [*proof[:at], other, *proof[at + 1 :]]
            )
    for changed in (proof[:-1], [*proof, other]):
        with pytest.raises(ProofError):
            merkle.verify_consistency(old, size, old_root, root, changed)


def uniform(size: int) -> dict[tuple[int, int], bytes]:
    """Tiles of a log of equal leaves: all its subtrees of one height are the same."""
    held: dict[tuple[int, int], bytes] = {}
    level, node = 0, merkle.leaf_hash(b"")
    while size:
        for first in range(0, size, tiles.WIDTH):
            held[level, first // tiles.WIDTH] = node * min(tiles.WIDTH, size - first)
        level, size = level + 1, size // tiles.WIDTH
        node = root_of([node] * tiles.WIDTH)
    return held


def test_a_million_leaves_are_proved_from_a_few_tiles_in_milliseconds() -> None:
    size = 1_000_000
    held = uniform(size)
    root = tiles.root(size, held)
    took: list[float] = []
    for index in (0, 1, 499_999, 524_288, 999_999):
        began = perf_counter()
        spans = merkle.inclusion_spans(index, size)
        keys = tiles.needed(spans)
        node = tiles.reader({key: held[key] for key in keys})
        proof = [merkle.span_hash(each, node) for each in spans]
        took.append(perf_counter() - began)
        assert len(keys) <= 6
        merkle.verify_inclusion(merkle.leaf_hash(b""), index, size, proof, root)
    assert min(took) < 0.01
    edge = {key: held[key] for key in tiles.edge_of(size)}
    assert len(edge) <= 3
    assert len(tiles.append(size, edge, [root])) <= 3
