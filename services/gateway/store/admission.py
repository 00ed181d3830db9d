"""What admissions read under their locks, and what they leave behind: sets of requests at once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

import msgspec
from asyncpg import Record
from msgspec import Struct

from libs.events.generation import RequestFacts
from libs.runtime.db import Connection, Transaction
from libs.runtime.outbox import columns
from services.gateway.domain.admission import BookInForce, Counter, Earlier, Request, Standing
from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.jobs import Status
from services.gateway.domain.pricing import read_book
from services.gateway.store import inputs, limits

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
# Accounts and allowances are locked since they were read, so absolute figures are safe to write.
INSERT_ADMITTED = """
    WITH held AS (
        UPDATE credit_account a SET held = new.held
          FROM unnest($1::uuid[], $2::bigint[]) AS new (account_id, held)
         WHERE a.account_id = new.account_id
    ), taken AS (
        UPDATE allowance a SET drained_at = new.drained_at, day = new.day,
               credits = new.credits, tokens = new.tokens
          FROM unnest($23::text[], $24::text[], $25::timestamptz[], $26::date[], $27::bigint[],
                      $28::bigint[]) AS new (kind, subject, drained_at, day, credits, tokens)
         WHERE a.kind = new.kind AND a.subject = new.subject
    ), accepted AS (
        INSERT INTO job (job_id, account_id, user_id, workspace_id, api_key_id, operation, provider,
                         model, prompt, options, units, unit_credits, tokens_estimated,
                         webhook_url, price_book_version, created_at, metered_on, deadline_at)
        SELECT j.*, $17::bigint, $18::timestamptz, ($18::timestamptz AT TIME ZONE 'UTC')::date,
               $19::timestamptz
          FROM unnest($3::uuid[], $4::uuid[], $5::uuid[], $6::uuid[], $7::uuid[], $8::text[],
                      $9::text[], $10::text[], $11::text[], $12::jsonb[], $13::integer[],
                      $14::bigint[], $15::bigint[], $34::text[]) AS j
    ), opened AS (
        INSERT INTO hold (subject_id, account_id, credits, opened_at)
        SELECT j.*, $18 FROM unnest($3::uuid[], $4::uuid[], $16::bigint[]) AS j
    ), remembered AS (
        INSERT INTO idempotency (principal_id, route, key, fingerprint, job_id, accepted_at)
        SELECT i.user_id, i.route, i.key, i.fingerprint, i.job_id, $18
          FROM unnest($5::uuid[], $20::text[], $21::text[], $22::bytea[], $3::uuid[])
               AS i (user_id, route, key, fingerprint, job_id)
         WHERE i.key IS NOT NULL
        ON CONFLICT (principal_id, route, key) DO UPDATE
           SET fingerprint = excluded.fingerprint, job_id = excluded.job_id,
               accepted_at = excluded.accepted_at
    )
    SELECT append_to_outbox($29::uuid[], $30::text[], $31::bytea[], $32::jsonb[], $33::bytea[])
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


async def write(transaction: Transaction, written: Sequence[Written], counter: Counter) -> None:
    """Write admitted requests: jobs, holds, keys, what accounts hold, meters, and their events."""
    facts = [each.facts for each in written]
    requests = [each.request for each in written]
    accounts, allowances = counter.changed_accounts(), counter.allowances_of(requests)
    await inputs.refer(transaction.connection, facts)
    await transaction.connection.execute(
        INSERT_ADMITTED,
        list(accounts),
        [account.held for account in accounts.values()],
        [each.job_id for each in facts],
        [each.account_id for each in facts],
        [each.user_id for each in facts],
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
        [each.credits_held for each in facts],
        facts[0].price_book_version,  # one instant, one book
        counter.now,
        facts[0].deadline_at,
        [each.route for each in requests],
        [each.key for each in requests],
        [each.fingerprint for each in requests],
        [each.subject.kind.value for each in allowances],
        [each.subject.id for each in allowances],
        [each.meter.drained_at for each in allowances],
        [each.meter.day for each in allowances],
        [each.meter.credits for each in allowances],
        [each.meter.tokens for each in allowances],
        *columns(transaction.take_outbox()),
        [each.order.webhook_url for each in requests],
    )


async def statuses(connection: Connection, job_ids: Sequence[UUID]) -> dict[UUID, Status]:
    """The status of each of these jobs that is there."""
    rows = await connection.fetch(SELECT_STATUSES, list(job_ids))
    return {row["job_id"]: Status(row["status"]) for row in rows}
