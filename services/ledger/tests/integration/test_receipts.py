"""Receipts and proofs over HTTP, verified by two verifiers that share nothing."""

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx2
import msgspec
import pytest
from pydantic import SecretStr

from infra.local.cluster import LocalCluster
from libs.events.names import Service, Topic
from libs.events.testing import NOW
from libs.events.testing import completed as delivered
from libs.proofs import merkle
from libs.proofs.checkpoints import open_checkpoint
from libs.proofs.keyring import Keyring, read_published
from libs.proofs.leaves import leaf_of_value
from libs.proofs.notes import VerifierKey, from_base64
from libs.proofs.receipts import Receipt, verify_receipt
from libs.proofs.tests import independent
from libs.runtime.auth import InternalTokens, Principal
from libs.runtime.clock import SystemClock
from libs.runtime.testing_http import reached
from services.ledger.app import create_app
from services.ledger.settings import Settings
from services.ledger.tests.builders import facts, failed, registered, requested
from services.ledger.tests.integration.conftest import SECRET, Ledger, RunningLedger
from services.ledger.tests.integration.test_service import person

DEADLINE_SECONDS = 60.0


@pytest.fixture
def keys_file(tmp_path: Path) -> Path:
    return tmp_path / "home" / "receipt-keys.json"


@pytest.fixture
async def sealing(
    cluster: LocalCluster, ledger_dsn: str, topic_prefix: str, ledger: Ledger, keys_file: Path
) -> AsyncIterator[RunningLedger]:
    """The whole service, with keys."""
    settings = Settings(
        database_dsn=SecretStr(ledger_dsn),
        database_pool_size=5,
        kafka_bootstrap=cluster.kafka_bootstrap,
        internal_secret=SECRET,
        receipt_keys_file=keys_file,
    )
    create = partial(create_app, settings)
    async with reached(create, Service.LEDGER, cluster.kafka_bootstrap, prefix=topic_prefix) as at:
        yield RunningLedger(
            client=at.client, bus=at.bus, books=ledger, tokens=InternalTokens(SECRET, SystemClock())
        )


def read(file: Path) -> Keyring:
    return Keyring.read(file.read_text())


def rotate(file: Path) -> None:
    file.write_text(read(file).rotated(b"n" * 32, NOW).text)


def mode_of(file: Path) -> int:
    return file.stat().st_mode & 0o777


async def receipt(running: RunningLedger, job_id: UUID, who: Principal) -> bytes:
    """The receipt, once it is there; until then the answer says when to come back."""
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            answer = await running.get(f"/api/jobs/{job_id}/receipt", who)
            if answer.status_code == 200:
                return answer.content
            assert answer.status_code in {404, 409}, answer.text
            if answer.status_code == 409:
                assert answer.json()["type"] == "urn:daygen:problem:receipt_not_ready"
                assert answer.headers["retry-after"] == "2"
            await asyncio.sleep(0.1)


async def published(running: RunningLedger) -> tuple[bytes, list[VerifierKey]]:
    document = (await running.client.get("/.well-known/daygen-keys.json")).content
    return document, list(read_published(document))


async def test_a_job_has_a_receipt_that_two_verifiers_accept(
    sealing: RunningLedger, keys_file: Path
) -> None:
    account_id, job_id = uuid4(), uuid4()
    request = facts(account_id, job_id, unit_credits=2, units=3)
    answer = delivered(request, images=delivered(request).images[:2], delivered_units=2)
    await sealing.tell(Topic.IDENTITY, registered(account_id, signup_credits=20))
    await sealing.tell(Topic.GENERATION, requested(request))
    owner = person(account_id)
    waiting = await _until(sealing, job_id, owner, 409)
    assert "has not ended" in waiting.json()["message"]
    await sealing.tell(Topic.GENERATION, answer)
    text = await receipt(sealing, job_id, owner)
    document, keys = await published(sealing)
    found = verify_receipt(text, keys)
    assert independent.verify(text, document)["job"]["jobId"] == str(job_id)
    assert (found.credits.held, found.credits.captured, found.credits.released) == (6, 4, 2)
    job = found.job
    assert (job.provider, job.model, job.operation, job.units, job.unit_credits) == (
        request.provider,
        request.model,
        request.operation,
        3,
        2,
    )
    assert job.price_book_version == request.price_book_version
    assert [each.sha256 for each in job.images] == [each.sha256 for each in answer.images]
    assert request.prompt.encode() not in text
    keyring = read(keys_file)
    assert job.prompt_hash == f"hmac-sha256:{keyring.prompt_hash(request.prompt).hex()}"
    assert mode_of(keys_file) == 0o600
    assert await receipt(sealing, job_id, owner) == text
    assert await receipt(sealing, job_id, sealing.admin()) == text
    stranger = await sealing.get(f"/api/jobs/{job_id}/receipt", person(uuid4()))
    assert (stranger.status_code, stranger.json()["type"]) == (
        404,
        "urn:daygen:problem:receipt_not_found",
    )
    assert (await sealing.client.get(f"/api/jobs/{job_id}/receipt")).status_code == 401


async def test_a_failed_job_has_a_receipt_over_nothing_and_old_ones_survive_a_rotation(
    sealing: RunningLedger, keys_file: Path
) -> None:
    account_id = uuid4()
    first, second = (facts(account_id, uuid4(), unit_credits=2, units=2) for _ in range(2))
    await sealing.tell(Topic.IDENTITY, registered(account_id))
    await sealing.tell(Topic.GENERATION, requested(first), failed(first))
    owner = person(account_id)
    old = await receipt(sealing, first.job_id, owner)
    _, before = await published(sealing)
    rotate(keys_file)
    _, after = await published(sealing)
    assert (len(before), len(after)) == (1, 2)
    told = verify_receipt(old, after)
    assert (told.job.outcome, told.job.failure_code) == ("failed", "server")
    assert (told.credits.held, told.credits.captured, told.credits.released) == (4, 0, 4)
    await sealing.tell(Topic.GENERATION, requested(second), delivered(second))
    new = await receipt(sealing, second.job_id, owner)
    assert verify_receipt(new, after[1:]).credits.captured == 4
    again = await receipt(sealing, first.job_id, owner)
    assert verify_receipt(again, after[1:]).credits == told.credits


async def test_checkpoints_and_proofs_are_everybodys(sealing: RunningLedger) -> None:
    account_id = uuid4()
    requests = [facts(account_id, uuid4()) for _ in range(4)]
    assert (await sealing.client.get("/api/log/checkpoint")).json()[
        "type"
    ] == "urn:daygen:problem:log_empty"
    await sealing.tell(Topic.IDENTITY, registered(account_id))
    for request in requests:
        await sealing.tell(Topic.GENERATION, requested(request), delivered(request))
    receipts = [await receipt(sealing, each.job_id, person(account_id)) for each in requests]
    _, keys = await published(sealing)
    note = (await sealing.client.get("/api/log/checkpoint")).text
    last = open_checkpoint(note, keys, keys[0].name)
    for each in (verify_receipt(text, keys) for text in receipts):
        old = open_checkpoint(each.log.checkpoint, keys, keys[0].name)
        proof = await _proof(sealing, f"consistency/{old.size}")
        merkle.verify_consistency(old.size, last.size, old.root, last.root, _hashes(proof))
        for entry in each.log.entries:
            proof = await _proof(sealing, f"inclusion/{entry.position}?size={last.size}")
            assert from_base64(proof["root"]) == last.root
            _check(each, entry.position, last.size, _hashes(proof), last.root)
    for path in ("inclusion/99", "inclusion/0?size=99", "consistency/99", "consistency/3?size=2"):
        answer = await sealing.client.get(f"/api/log/proof/{path}")
        assert (answer.status_code, answer.json()["type"]) == (
            400,
            "urn:daygen:problem:log_position_unknown",
        )
    assert (await sealing.client.get("/api/log/checkpoint?size=99")).status_code == 400
    assert (await sealing.client.get("/api/log/proof/inclusion/-1")).status_code == 400


async def test_the_metrics_tell_how_long_ago_the_sealer_has_looked(sealing: RunningLedger) -> None:
    account_id = uuid4()
    request = facts(account_id, uuid4())
    await sealing.tell(Topic.IDENTITY, registered(account_id))
    await sealing.tell(Topic.GENERATION, requested(request), delivered(request))
    await receipt(sealing, request.job_id, person(account_id))
    lines = (await sealing.client.get("/metrics")).text.splitlines()
    told = dict(line.split(" ") for line in lines if line.startswith("daygen_log_"))
    assert float(told["daygen_log_size"]) == 3
    assert 0 <= float(told["daygen_log_look_age_seconds"]) < DEADLINE_SECONDS


async def test_without_keys_there_are_no_receipts_and_the_answer_says_so(
    running: RunningLedger,
) -> None:
    answer = await running.get(f"/api/jobs/{uuid4()}/receipt", running.admin())
    assert (answer.status_code, answer.json()["type"]) == (
        503,
        "urn:daygen:problem:receipts_unavailable",
    )
    assert "LEDGER_RECEIPT_KEYS_FILE" in answer.json()["message"]


def test_broken_keys_stop_the_start_and_are_not_told(keys_file: Path) -> None:
    keys_file.parent.mkdir()
    keys_file.write_text('{"origin": "a", "prompt_key": "c2VjcmV0"}')
    settings = Settings(
        database_dsn=SecretStr("postgresql://nobody@127.0.0.1:1/none"),
        kafka_bootstrap="127.0.0.1:1",
        internal_secret=SECRET,
        receipt_keys_file=keys_file,
    )
    with pytest.raises(Exception, match=r"Correct .*receipt-keys\.json") as refused:
        create_app(settings)
    assert "c2VjcmV0" not in str(refused.value)


async def _until(
    running: RunningLedger, job_id: UUID, who: Principal, status: int
) -> httpx2.Response:
    async with asyncio.timeout(DEADLINE_SECONDS):
        while True:
            answer = await running.get(f"/api/jobs/{job_id}/receipt", who)
            if answer.status_code == status:
                return answer
            await asyncio.sleep(0.05)


async def _proof(running: RunningLedger, path: str) -> dict[str, Any]:
    answer = await running.client.get(f"/api/log/proof/{path}")
    assert answer.status_code == 200, answer.text
    return msgspec.json.decode(answer.content, type=dict[str, Any])


def _hashes(proof: dict[str, Any]) -> list[bytes]:
    return [from_base64(each) for each in proof["hashes"]]


def _check(told: Receipt, position: int, size: int, proof: list[bytes], root: bytes) -> None:
    entry = next(each for each in told.log.entries if each.position == position)
    merkle.verify_inclusion(leaf_of_value(entry.event), position, size, proof, root)
