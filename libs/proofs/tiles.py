"""A Merkle tree kept in tiles of 256 hashes, as C2SP's tlog-tiles lays them out.

Tile `number` of level L holds the hashes of 256 neighbouring subtrees of height 8 L. Only the last
tile of each level ever changes: appending costs the same however long the log is, and a proof
reads a handful of rows.
"""

from collections.abc import Iterable, Mapping, Sequence

from libs.proofs.merkle import HASH_BYTES, Node, Span, node_hash, perfect_subtrees, span_hash

HEIGHT = 8
WIDTH = 1 << HEIGHT

TileKey = tuple[int, int]
"""(level, number)."""

Tiles = Mapping[TileKey, bytes]
"""The hashes of each tile, one after the other."""


class TileMissingError(LookupError):
    """A tile that the log must have is not there."""


def edge_of(size: int) -> list[TileKey]:
    """The tiles at the right edge of a tree: what appending to it needs, and its root."""
    keys: list[TileKey] = []
    level, nodes = 0, size
    while nodes:
        if nodes % WIDTH:
            keys.append((level, nodes // WIDTH))
        level, nodes = level + 1, nodes // WIDTH
    return keys


def append(size: int, edge: Tiles, leaves: Sequence[bytes]) -> dict[TileKey, bytes]:
    """The tiles that are new or longer once leaf hashes were appended to a tree.

    `edge` holds at least the tiles of `edge_of(size)`.
    """
    changed: dict[TileKey, bytes] = {}
    level, nodes, hashes = 0, size, list(leaves)
    while hashes:
        above: list[bytes] = []
        while hashes:
            number, filled = divmod(nodes, WIDTH)
            taken, hashes = hashes[: WIDTH - filled], hashes[WIDTH - filled :]
            before = _tile(edge, (level, number)) if filled else b""
            changed[level, number] = tile = before + b"".join(taken)
            nodes += len(taken)
            if len(tile) == WIDTH * HASH_BYTES:
                above.append(_fold(tile))
        level, hashes = level + 1, above
        nodes = size // WIDTH**level
    return changed


def root(size: int, tiles: Tiles) -> bytes:
    """Root of a tree; `tiles` holds at least those of `edge_of(size)`."""
    return span_hash((0, size), reader(tiles))


def reader(tiles: Tiles) -> Node:
    """The hashes of perfect subtrees, out of tiles."""

    def node(height: int, number: int) -> bytes:
        level, rest = divmod(height, HEIGHT)
        first = number << rest
        start = first % WIDTH * HASH_BYTES
        part = _tile(tiles, (level, first // WIDTH))[start : start + (HASH_BYTES << rest)]
        if len(part) < HASH_BYTES << rest:
            raise TileMissingError(f"Tile {first // WIDTH} of level {level} is too short.")
        return _fold(part)

    return node


def needed(spans: Iterable[Span]) -> list[TileKey]:
    """The tiles out of which the hashes of subtrees are made."""
    keys = set[TileKey]()
    for span in spans:
        for height, number in perfect_subtrees(span):
            level, rest = divmod(height, HEIGHT)
            keys.add((level, (number << rest) // WIDTH))
    return sorted(keys)


def _fold(hashes: bytes) -> bytes:
    level = [hashes[at : at + HASH_BYTES] for at in range(0, len(hashes), HASH_BYTES)]
    while len(level) > 1:
        level = [node_hash(*each) for each in zip(level[::2], level[1::2], strict=True)]
    return level[0]


def _tile(tiles: Tiles, key: TileKey) -> bytes:
    try:
        return tiles[key]
    except KeyError:
        raise TileMissingError(f"Tile {key[1]} of level {key[0]} is missing.") from None
