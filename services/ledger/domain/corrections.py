"""What credits do apart from jobs: grants, debits, ends of lots, reversals, limits.

Each is booked once under the id of its transaction, which follows from what asked for it.
"""

from collections.abc import Mapping
from typing import assert_never
from uuid import UUID

from msgspec import Struct, field
from msgspec.structs import replace

from libs.events.credits import (
    CreditsDebited,
    CreditsDeducted,
    CreditsEvent,
    CreditsExpired,
    CreditsForfeited,
    CreditsGranted,
    CreditsReclaimed,
    CreditsReversed,
    GraceChanged,
    LotAmount,
    Wallet,
)
from services.ledger.domain.account import Account, moved, repayment
from services.ledger.domain.commands import (
    CREDITS_MAX,
    DebitCredits,
    DeductCredits,
    ExpireLot,
    ForfeitSubscription,
    GrantCredits,
    KeyedCommand,
    ReverseTransaction,
    SetGrace,
)
from services.ledger.domain.errors import (
    AlreadyReversedError,
    ForeignKeyError,
    InvalidInputError,
    NotReversibleError,
)
from services.ledger.domain.ids import lot_of, reclaim_id
from services.ledger.domain.lots import take, take_back, total
from services.ledger.domain.posted import Posted


class Past(Struct, frozen=True):
    """What was booked before, as far as a batch can come back to it."""

    known: Mapping[UUID, UUID] = field(default_factory=dict)  # transaction -> its account
    posted: Mapping[UUID, Posted] = field(default_factory=dict)  # those that are to be reversed


NOTHING = Past()


def decide_keyed(account: Account, command: KeyedCommand, past: Past) -> tuple[CreditsEvent, ...]:
    """The events of a command; none if its transaction was booked before.

    Raises:
        LedgerError: the command is refused.
    """
    if _is_booked(account, command, past):
        return ()
    return _decided(account, command, past)


def _is_booked(account: Account, command: KeyedCommand, past: Past) -> bool:
    booked_for = past.known.get(command.transaction_id)
    if booked_for is None:
        return False
    if booked_for != account.account_id:
        raise ForeignKeyError(
            f"Transaction {command.transaction_id} is booked for account {booked_for}, not for "
            f"{account.account_id}: correct the sender."
        )
    if isinstance(command, ReverseTransaction):
        raise AlreadyReversedError(f"Transaction {command.reverses} is reversed already.")
    return True


def _decided(  # noqa: PLR0911  # one a kind
    account: Account, command: KeyedCommand, past: Past
) -> tuple[CreditsEvent, ...]:
    match command:
        case GrantCredits():
            return (_grant(account, command),)
        case DebitCredits():
            return (_debit(account, command),)
        case DeductCredits():
            return _deduct(account, command)
        case ExpireLot():
            return _expire(account, command)
        case ForfeitSubscription():
            return (_forfeit(account, command),)
        case ReverseTransaction():
            return (_reverse(account, command, past),)
        case SetGrace():
            return (_set_grace(account, command),)
        case _:
            assert_never(command)


def reclaim(account: Account, subject_id: UUID, amounts: tuple[LotAmount, ...]) -> CreditsReclaimed:
    """The event before one that takes of lots which have ended."""
    return CreditsReclaimed(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled + total(amounts),
        grace_after=account.grace,
        transaction_id=reclaim_id(subject_id),
        credits=total(amounts),
        lots=amounts,
    )


def _grant(account: Account, command: GrantCredits) -> CreditsGranted:
    ended = _ended_by_renewal(account, command)
    is_renewal = command.is_renewal and not _is_older(account, command)
    event = CreditsGranted(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=_bounded(account.settled + command.credits) - total(ended),
        grace_after=account.grace,
        transaction_id=command.transaction_id,
        lot_id=lot_of(command.transaction_id),
        wallet=command.wallet,
        credits=command.credits,
        source=command.source,
        reference=command.reference,
        expires_at=command.expires_at,
        priority=command.priority,
        is_renewal=is_renewal,
        reset_at=command.at if is_renewal else None,
        reset_lots=ended if is_renewal else (),
        actor=command.actor,
        reason=command.reason,
    )
    return replace(event, repaid_lots=repayment(moved(account, event), command.at))


def _ended_by_renewal(account: Account, command: GrantCredits) -> tuple[LotAmount, ...]:
    if not command.is_renewal or _is_older(account, command):
        return ()
    return _left_in(account, Wallet.SUBSCRIPTION)


def _is_older(account: Account, command: GrantCredits) -> bool:
    """Whether a renewal comes after a later one: it must not end what that one has given.

    The account says it, not its lots: of those the ones that are wholly reserved are not loaded.
    """
    if command.expires_at is None or account.renewed_until is None:
        return False
    return account.renewed_until > command.expires_at


def _left_in(account: Account, wallet: Wallet) -> tuple[LotAmount, ...]:
    return tuple(
        LotAmount(lot_id=lot.lot_id, credits=lot.remaining)
        for lot in account.lots
        if lot.wallet is wallet and lot.ended_at is None and lot.remaining
    )


def _debit(account: Account, command: DebitCredits) -> CreditsDebited:
    first = None if command.granted_by is None else lot_of(command.granted_by)
    taken = take_back(account.lots, command.credits, command.at, first)
    return CreditsDebited(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=_bounded(account.settled - command.credits),
        grace_after=account.grace,
        transaction_id=command.transaction_id,
        credits=command.credits,
        lots=taken.amounts,
        source=command.source,
        reference=command.reference,
        actor=command.actor,
        reason=command.reason,
    )


def _deduct(account: Account, command: DeductCredits) -> tuple[CreditsEvent, ...]:
    """Checked and held at the gateway, like a job: so it is booked, whatever has happened since."""
    taken = take(account.lots, command.credits, command.at)
    regained = total(taken.reclaimed)
    deducted = CreditsDeducted(
        account_id=account.account_id,
        account_version=account.version + (2 if regained else 1),
        settled_after=account.settled + regained - command.credits,
        grace_after=account.grace,
        transaction_id=command.transaction_id,
        deduction_id=command.deduction_id,
        credits=command.credits,
        lots=taken.amounts,
        actor=command.actor,
        reason=command.reason,
    )
    if not regained:
        return (deducted,)
    return (reclaim(account, command.deduction_id, taken.reclaimed), deducted)


def _expire(account: Account, command: ExpireLot) -> tuple[CreditsEvent, ...]:
    """Nothing where nothing is left; what comes back later goes to breakage by itself."""
    for lot in account.lots:
        if lot.lot_id != command.lot_id or lot.expires_at is None:
            continue
        if lot.ended_at is None and lot.remaining and lot.expires_at <= command.at:
            return (
                CreditsExpired(
                    account_id=account.account_id,
                    account_version=account.version + 1,
                    settled_after=account.settled - lot.remaining,
                    grace_after=account.grace,
                    transaction_id=command.transaction_id,
                    lot_id=lot.lot_id,
                    wallet=lot.wallet,
                    credits=lot.remaining,
                    ended_at=lot.expires_at,
                ),
            )
    return ()


def _forfeit(account: Account, command: ForfeitSubscription) -> CreditsForfeited:
    left = _left_in(account, Wallet.SUBSCRIPTION)
    return CreditsForfeited(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled - total(left),
        grace_after=account.grace,
        transaction_id=command.transaction_id,
        wallet=Wallet.SUBSCRIPTION,
        credits=total(left),
        lots=left,
        ended_at=command.at,
        actor=command.actor,
        reason=command.reason,
    )


def _reverse(account: Account, command: ReverseTransaction, past: Past) -> CreditsReversed:
    posted = past.posted.get(command.reverses)
    if posted is None or posted.account_id != account.account_id or not posted.is_reversible:
        raise NotReversibleError(
            f"Transaction {command.reverses} cannot be reversed: name a grant, debit, deduction, "
            "capture, expiry or forfeit of this account."
        )
    restored = _restored(account, posted)
    breakage = posted.breakage - (total(posted.ended_lots) - total(restored))
    given = posted.world + posted.revenue + breakage
    taken = take_back(account.lots, max(0, -given), command.at, lot_of(command.reverses))
    event = CreditsReversed(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=_bounded(account.settled + given),
        grace_after=account.grace,
        transaction_id=command.transaction_id,
        reverses=command.reverses,
        credits=given,
        lot_id=lot_of(command.transaction_id) if given > 0 else None,
        lots=taken.amounts,
        to_world=-posted.world,
        to_revenue=-posted.revenue,
        to_breakage=-breakage,
        repaid_lots=(),
        restored_lots=restored,
        actor=command.actor,
        reason=command.reason,
    )
    if given <= 0:
        return event
    return replace(event, repaid_lots=repayment(moved(account, event), command.at))


def _restored(account: Account, posted: Posted) -> tuple[LotAmount, ...]:
    """What of the lots that it ended nobody has reclaimed: only that can be given back."""
    ended = {each.lot_id for each in posted.ended_lots}
    return tuple(
        LotAmount(lot_id=lot.lot_id, credits=lot.reclaimable)
        for lot in account.lots
        if lot.lot_id in ended and lot.reclaimable
    )


def _set_grace(account: Account, command: SetGrace) -> GraceChanged:
    return GraceChanged(
        account_id=account.account_id,
        account_version=account.version + 1,
        settled_after=account.settled,
        grace_after=command.grace,
        transaction_id=command.transaction_id,
        grace_before=account.grace,
        actor=command.actor,
        reason=command.reason,
    )


def _bounded(settled: int) -> int:
    if abs(settled) > CREDITS_MAX:
        raise InvalidInputError(
            f"An account cannot stand at {settled} credits: {CREDITS_MAX} is the most."
        )
    return settled
