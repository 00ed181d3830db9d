"""Sentences about credits and money: what moved, from which lots, and why."""

from libs.events.billing import PaymentReceived, PaymentRefunded
from libs.events.credits import (
    CreditsCaptured,
    CreditsDebited,
    CreditsDeducted,
    CreditsEvent,
    CreditsExpired,
    CreditsForfeited,
    CreditsGranted,
    CreditsNotificationRequested,
    CreditsReclaimed,
    CreditsReleased,
    CreditsReserved,
    CreditsReversed,
    GraceChanged,
    LotAmount,
)
from libs.events.identity import DeductionRequested
from services.ledger.domain.story.telling import Telling, because, credits_, moment


def granted(event: CreditsGranted, telling: Telling) -> str:
    ends = "" if event.expires_at is None else f", until {moment(event.expires_at)}"
    reset = sum(each.credits for each in event.reset_lots)
    renewed = f" What was left of earlier ones ended with it: {credits_(reset)}." if reset else ""
    opens = "The account was opened with" if event.account_version == 1 else "There came"
    return (
        f"{opens} {credits_(event.credits)} for the {event.wallet} wallet ({event.source})"
        f"{telling.by(event.actor)}{ends}{because(event.reason)}."
        f"{renewed}{_repaid(event.repaid_lots)}{_after(event, telling)}"
        + telling.inside(f"lot {event.lot_id}, reference {event.reference or 'none'}")
    )


def reserved(event: CreditsReserved, telling: Telling) -> str:
    return f"Set aside for it: {_moved(event.credits, event.lots, telling)}."


def captured(event: CreditsCaptured, telling: Telling) -> str:
    freed = ""
    if event.released_credits:
        back = _moved(event.released_credits, event.released_lots, telling)
        freed = f" Free again of what was set aside: {back}."
    return (
        f"Charged: {_moved(event.credits, event.lots, telling)}.{freed}"
        f"{_too_late(event.forfeited_lots)}{_repaid(event.repaid_lots)}{_after(event, telling)}"
    )


def released(event: CreditsReleased, telling: Telling) -> str:
    back = _moved(event.released_credits, event.released_lots, telling)
    return (
        f"Nothing was charged. Free again of what was set aside: {back}."
        f"{_too_late(event.forfeited_lots)}{_repaid(event.repaid_lots)}{_after(event, telling)}"
    )


def reclaimed(event: CreditsReclaimed, telling: Telling) -> str:
    return (
        "Back out of lots that had ended, for a request that was admitted before:"
        f" {_moved(event.credits, event.lots, telling)}.{_after(event, telling)}"
    )


def expired(event: CreditsExpired, telling: Telling) -> str:
    return (
        f"Unspent credits of the {event.wallet} wallet have ended: {event.credits:,}, at"
        f" {moment(event.ended_at)}.{_after(event, telling)}"
        + telling.inside(f"lot {event.lot_id}")
    )


def forfeited(event: CreditsForfeited, telling: Telling) -> str:
    return (
        f"The {event.wallet} wallet was ended{telling.by(event.actor)}{because(event.reason)}:"
        f" {_moved(event.credits, event.lots, telling)}.{_after(event, telling)}"
    )


def debited(event: CreditsDebited, telling: Telling) -> str:
    return (
        f"Taken back ({event.source}){telling.by(event.actor)}{because(event.reason)}:"
        f" {_moved(event.credits, event.lots, telling)}.{_after(event, telling)}"
        + telling.inside(f"reference {event.reference}")
    )


def deduction_requested(event: DeductionRequested, telling: Telling) -> str:
    return (
        f"A deduction of {credits_(event.credits)} was ordered{telling.by(event.actor)}"
        f"{because(event.reason)}." + telling.inside(f"deduction {event.deduction_id}")
    )


def deducted(event: CreditsDeducted, telling: Telling) -> str:
    return (
        f"Deducted{telling.by(event.actor)}{because(event.reason)}:"
        f" {_moved(event.credits, event.lots, telling)}.{_after(event, telling)}"
        + telling.inside(f"deduction {event.deduction_id}")
    )


def reversed_(event: CreditsReversed, telling: Telling) -> str:
    if event.credits < 0:
        what = f"taken back, {_moved(-event.credits, event.lots, telling)}"
    else:
        what = f"refunded, {credits_(event.credits)} in a lot of their own"
    return (
        f"An earlier booking was reversed{telling.by(event.actor)}{because(event.reason)}: {what}."
        f"{_repaid(event.repaid_lots)}{_after(event, telling)}"
        + telling.inside(f"reverses transaction {event.reverses}, lot {event.lot_id or 'none'}")
    )


def grace_changed(event: GraceChanged, telling: Telling) -> str:
    return (
        f"The overdraft limit was changed{telling.by(event.actor)} from {event.grace_before} to"
        f" {event.grace_after}{because(event.reason)}."
    )


def payment_received(event: PaymentReceived, telling: Telling) -> str:
    paid = f"{event.amount_minor:,} ({event.currency.upper()}, smallest unit)"
    kind = "a renewal" if event.is_renewal else "a payment"
    return f"By {event.provider} there came {kind} of {paid} for {credits_(event.credits)}." + (
        telling.inside(f"payment {event.payment_id}, account {event.account_id}")
    )


def payment_refunded(event: PaymentRefunded, telling: Telling) -> str:
    back = f"{event.amount_minor:,} ({event.currency.upper()}, smallest unit)"
    return (
        f"By {event.provider} there was a {event.kind} of {back}, for"
        f" {credits_(event.credits)} that have to go."
        + telling.inside(f"refund {event.refund_id} of payment {event.payment_id}")
    )


def _moved(count: int, lots: tuple[LotAmount, ...], telling: Telling) -> str:
    taken = telling.out_of(lots)
    return f"{credits_(count)} ({taken})" if taken else credits_(count)


def _repaid(lots: tuple[LotAmount, ...]) -> str:
    total = sum(each.credits for each in lots)
    return f" Of it, {credits_(total)} went into debt that was there." if total else ""


def _too_late(lots: tuple[LotAmount, ...]) -> str:
    total = sum(each.credits for each in lots)
    return f" Gone, since their lots have ended: {credits_(total)}." if total else ""


def _after(event: CreditsEvent, telling: Telling) -> str:
    """The account after it, with what is set aside for jobs that run."""
    return f" {telling.whose(event.account_id)} balance is {event.settled_after:,}."


def notification_requested(event: CreditsNotificationRequested, telling: Telling) -> str:
    whom = f"User {event.user_id} was" if telling.is_admin else "You were"
    said = ", ".join(f"{name} {value}" for name, value in event.parameters.items())
    return f"{whom} to be told of it by mail." + telling.inside(f"{event.template}: {said}")
