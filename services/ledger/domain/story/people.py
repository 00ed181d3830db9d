"""Sentences about users, workspaces, keys and limits."""

from libs.events.identity import (
    AccountErased,
    ApiKeyCreated,
    ApiKeyRevoked,
    LimitChanged,
    SessionsRevoked,
    UserBanned,
    UserRegistered,
    UserUnbanned,
    WorkspaceCreated,
)
from services.ledger.domain.story.telling import Telling, because, credits_, moment


def registered(event: UserRegistered, telling: Telling) -> str:
    return (
        f"{telling.who(event.user_id)} signed up, with {credits_(event.signup_credits)}."
        + telling.inside(f"role {event.role}, grace {event.grace}")
    )


def erased(event: AccountErased, telling: Telling) -> str:
    who = "The person" if telling.is_admin else "You"
    return f"{who} asked to be forgotten: words and pictures were removed." + telling.inside(
        f"user {event.user_id}, asked for by {event.actor}"
    )


def workspace_created(event: WorkspaceCreated, telling: Telling) -> str:
    return f"A workspace was made, with {credits_(event.signup_credits)}." + telling.inside(
        f"workspace {event.workspace_id}, by {event.created_by}, grace {event.grace}"
    )


def banned(event: UserBanned, telling: Telling) -> str:
    was = f"User {event.user_id} was" if telling.is_admin else "You were"
    return f"{was} barred from generating." + telling.inside(f"by {event.actor}: {event.reason}")


def unbanned(event: UserUnbanned, telling: Telling) -> str:
    may = f"User {event.user_id} may" if telling.is_admin else "You may"
    return f"{may} generate again." + telling.inside(f"by {event.actor}: {event.reason}")


def sessions_revoked(event: SessionsRevoked, telling: Telling) -> str:
    whose = f"All log-ins of user {event.user_id}" if telling.is_admin else "All your log-ins"
    return f"{whose} ended." + telling.inside(f"by {event.actor}, epoch {event.session_epoch}")


def key_created(event: ApiKeyCreated, telling: Telling) -> str:
    scopes = ", ".join(event.scopes) or "nothing"
    return f"{telling.who(event.user_id)} made an API key that may {scopes}." + telling.inside(
        f"key {event.key_id}"
    )


def key_revoked(event: ApiKeyRevoked, telling: Telling) -> str:
    return "An API key was revoked." + telling.inside(f"key {event.key_id}, by {event.actor}")


def limit_changed(event: LimitChanged, telling: Telling) -> str:
    figures = {
        "requests a minute": event.per_minute,
        "credits a day": event.credits_per_day,
        "tokens a day": event.tokens_per_day,
        "requests a minute for now": event.throttle_per_minute,
    }
    said = [f"{value:,} {name}" for name, value in figures.items() if value is not None]
    until = "" if event.throttled_until is None else f", until {moment(event.throttled_until)}"
    return (
        f"The limits of a {event.kind} were set: {', '.join(said) or 'the defaults'}{until}."
        + telling.inside(f"{event.kind} {event.limited}, by {event.actor}{because(event.reason)}")
    )
