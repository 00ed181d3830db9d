"""Roots worked out plainly, from all leaves at once: what tests compare the log's roots with."""

from collections.abc import Sequence

from libs.proofs.merkle import EMPTY_ROOT, node_hash


def root_of(leaves: Sequence[bytes]) -> bytes:
    """Root over leaf hashes."""
    if not leaves:
        return EMPTY_ROOT
    level = list(leaves)
    while len(level) > 1:
        paired = [node_hash(*each) for each in zip(level[::2], level[1::2], strict=False)]
        level = paired + level[len(paired) * 2 :]
    return level[0]
