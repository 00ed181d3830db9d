"""What admissions read under their locks, and what they leave behind: sets of requests at once."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from libs.events.generation import RequestFacts
from libs.runtime.db import Connection
from libs.runtime.outbox import OutboxRow, columns
from services.gateway.domain.admission import BookInForce, Earlier, Request, Standing
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.jobs import Status
from services.gateway.domain.limits import Kind, Policy, Subject
from services.gateway.domain.pricing import read_book
from services.gateway.store import limits

REMEMBERED: Final = timedelta(hours=24)

SELECT_STANDINGS = """
    SELECT s.*, u.session_epoch <> l.epoch AS is_log_in_revoked
      FROM admission_standings($1::uuid[], $2::uuid[], $3::uuid[], $4::text[], $5::text[], $6, $7,
                               $8::text[], $9::text[]) WITH ORDINALITY
           AS s (at, is_busy, is_known, is_banned, is_key_revoked, version, settled, grace, held,
                 earlier_job, earlier_fingerprint, book_version, book, allowances, place)
      JOIN unnest($2::uuid[], $10::integer[]) WITH ORDINALITY AS l (user_id, epoch, place)
           USING (place)
      LEFT JOIN users u ON u.user_id = l.user_id
     ORDER BY place
"""
ADMIT = """
    SELECT * FROM admit($1, $2, $3, $4::uuid[], $5::bigint[], $6::text[], $7::text[], $8::integer[],
                        $9::bigint[], $10::bigint[], $11::integer[], $12::bigint[], $13::bigint[],
                        $14::uuid[], $15::uuid[], $16::uuid[], $17::integer[], $18::uuid[],
                        $19::uuid[], $20::text[], $21::text[], $22::text[], $23::text[],
                        $24::jsonb[], $25::integer[], $26::bigint[], $27::bigint[],
                        $28::timestamptz[], $29::text[], $30::text[], $31::bytea[], $32::uuid[],
                        $33::text[], $34::bytea[], $35::jsonb[], $36::bytea[],
                        $37::text[])
"""
SELECT_STATUSES = "SELECT job_id, status FROM job WHERE job_id = ANY($1::uuid[])"


class Locking(StrEnum):
    """What to do about the accounts of requests."""

    WAIT = "wait"  # lock them all
    SKIP = "skip"  # lock those that nobody else has locked
    NONE = "none"  # look only


class Scene(Struct, frozen=True, kw_only=True):
    """What the database says of requests; `standings` are in their order.

    A request whose account somebody else has locked cannot be decided: it is in `busy`.
    """

    now: datetime
    book: BookInForce | None
    standings: Sequence[Standing | None]
    allowances: Sequence[limits.Row]
    busy: frozenset[UUID]


class Written(Struct, frozen=True, kw_only=True):
    """An admitted request as it is kept."""

    request: Request
    facts: RequestFacts
    tokens: int


class Left(Struct, frozen=True, kw_only=True):
    """When requests were admitted by the database's clock, and what their limits leave."""

    at: datetime
    rows: Sequence[limits.Row]


async def look(connection: Connection, requests: Sequence[Request], locking: Locking) -> Scene:
    """Lock accounts and allowances, and read what decisions need."""
    rows = await connection.fetch(
        SELECT_STANDINGS,
        [each.payer.account_id for each in requests],
        [each.payer.user_id for each in requests],
        [each.payer.api_key_id for each in requests],
        [each.route for each in requests],
        [each.key for each in requests],
        REMEMBERED,
        locking.value,
        *limits.in_lock_order(subject for each in requests for subject in each.subjects),
        [each.payer.session_epoch for each in requests],
    )
    first = rows[0]
    book = None
    if first["book"] is not None:
        book = BookInForce(version=first["book_version"], book=read_book(first["book"]))
    return Scene(
        now=first["at"],
        book=book,
        standings=[_standing(row) for row in rows],
        allowances=[limits.row_of(each) for each in first["allowances"] or ()],
        busy=frozenset(
            request.job_id for request, row in zip(requests, rows, strict=True) if row["is_busy"]
        ),
    )


def _standing(row: Record) -> Standing | None:
    if not row["is_known"]:
        return None
    earlier = row["earlier_job"]
    return Standing(
        is_banned=row["is_banned"],
        is_key_revoked=row["is_key_revoked"],
        is_log_in_revoked=bool(row["is_log_in_revoked"]),
        account=AccountCopy(
            version=row["version"], settled=row["settled"], grace=row["grace"], held=row["held"]
        ),
        earlier=earlier and Earlier(job_id=earlier, fingerprint=row["earlier_fingerprint"]),
    )


async def admit(
    connection: Connection,
    written: Sequence[Written],
    outbox: Sequence[OutboxRow],
    defaults: Mapping[Kind, Policy],
) -> Left | None:
    """Write requests of one instant and book, and their events, if they may all be admitted.

    None: one of them may not, and nothing was written.
    """
    facts, requests = [each.facts for each in written], [each.request for each in written]
    payers, demands = _demands(written)
    policies = [defaults[subject.kind] for subject in demands]
    row = await connection.fetchrow(
        ADMIT,
        facts[0].requested_at,
        facts[0].price_book_version,
        REMEMBERED,
        list(payers),
        list(payers.values()),
        [each.kind.value for each in demands],
        [each.id for each in demands],
        [each.per_minute for each in policies],
        [each.credits_per_day for each in policies],
        [each.tokens_per_day for each in policies],
        *map(list, zip(*demands.values(), strict=True)),
        [each.job_id for each in facts],
        [each.account_id for each in facts],
        [each.user_id for each in facts],
        [each.payer.session_epoch for each in requests],
        [each.workspace_id for each in facts],
        [each.payer.api_key_id for each in requests],
        [each.operation for each in facts],
        [each.provider for each in facts],
        [each.model for each in facts],
        [each.prompt for each in facts],
        [msgspec.json.encode(each.options).decode() for each in facts],
        [each.units for each in facts],
        [each.unit_credits for each in facts],
        [each.tokens for each in written],
        [each.deadline_at for each in facts],
        [each.route for each in requests],
        [each.key for each in requests],
        [each.fingerprint for each in requests],
        *columns(outbox),
        [each.order.webhook_url for each in requests],
    )
    if row is None or not row["is_admitted"]:
        return None
    return Left(at=row["moment"], rows=[limits.row_of(each) for each in row["left_over"]])


def _demands(
    written: Sequence[Written],
) -> tuple[dict[UUID, int], dict[Subject, tuple[int, int, int]]]:
    """What payers pay, and how many requests, credits and tokens are asked of whom limits bind."""
    payers: dict[UUID, int] = {}
    demands: dict[Subject, tuple[int, int, int]] = {}
    for each in written:
        cost, account_id = each.facts.credits_held, each.facts.account_id
        payers[account_id] = payers.get(account_id, 0) + cost
        for subject in each.request.subjects:
            before = demands.get(subject, (0, 0, 0))
            demands[subject] = (before[0] + 1, before[1] + cost, before[2] + each.tokens)
    in_order = sorted(demands, key=lambda subject: subject.lock_order)
    return payers, {subject: demands[subject] for subject in in_order}


async def statuses(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Status]:
    """The status of each of these jobs that is there."""
    rows = await connection.fetch(SELECT_STATUSES, list(job_ids))
    return {row["job_id"]: Status(row["status"]) for row in rows}
