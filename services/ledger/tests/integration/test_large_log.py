"""A log of a million entries: what a proof and an append cost from the tables."""

from time import perf_counter
from uuid import uuid4

from libs.events.testing import NOW
from libs.proofs import merkle, tiles
from libs.proofs.notes import from_base64
from libs.proofs.tests.unit.test_merkle import uniform
from libs.runtime.testing import Streams
from services.ledger.domain.log import Leaf, grow
from services.ledger.handlers.receipts import Receipts
from services.ledger.store import log as store

SIZE = 1_000_000
PROOF_SECONDS_MAX = 0.010


async def test_a_proof_takes_ten_milliseconds_at_most_and_an_append_a_few_rows(
    streams: Streams,
) -> None:
    held = uniform(SIZE)
    root = tiles.root(SIZE, held)
    async with streams.database.read() as connection:
        await connection.copy_records_to_table(
            "tile", records=[(*key, hashes) for key, hashes in held.items()]
        )
        await connection.execute(store.SEAL, 0, SIZE, root, uuid4(), NOW)
    receipts = Receipts(streams.database, None)
    took: list[float] = []
    for index in (0, 255, 256, 65_535, 499_999, 524_288, 900_001, 999_999):
        began = perf_counter()
        proof = await receipts.inclusion(index, None)
        took.append(perf_counter() - began)
        hashes = [from_base64(each) for each in proof.hashes]
        merkle.verify_inclusion(merkle.leaf_hash(b""), index, SIZE, hashes, root)
        assert len(hashes) <= 20
    assert min(took) < PROOF_SECONDS_MAX
    for old in (1, 65_536, 777_777, 999_999):
        proof = await receipts.consistency(old, None)
        hashes = [from_base64(each) for each in proof.hashes]
        merkle.verify_consistency(old, SIZE, tiles.root(old, uniform(old)), root, hashes)
    leaves = [Leaf(uuid4(), merkle.leaf_hash(str(each).encode())) for each in range(10)]
    async with streams.database.read() as connection:
        growth = grow(SIZE, await store.edge(connection, SIZE), leaves)
        assert len(growth.tiles) <= 3
        await store.write(connection, growth, uuid4(), NOW)
    assert (await receipts.inclusion(SIZE + 9, None)).root == growth.root
