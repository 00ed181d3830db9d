"""Who may call what: one line for each route. A route that does not stand here fails a test.

The routes themselves refuse, by their dependencies and their owners; what is declared here is
compared with what they do, and written down in `docs/access.md` by
`python -m services.gateway.api.access`.
"""

import sys
from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final

from msgspec import Struct

from libs.events.names import Service
from services.gateway.domain.api_keys import Scope

METHODS: Final = ("get", "post", "put", "patch", "delete")


class Access(StrEnum):
    """Who is let in."""

    ANYBODY = "anybody"  # no log-in is asked for
    USER = "user"  # everybody who has logged in, to what is theirs
    OWNER = "owner"  # whoever owns what is named; to others it does not exist
    OWNER_OR_ADMIN = "owner or admin"
    ADMIN = "admin"
    PROVIDER = "provider"  # a signature is asked for, no log-in helps


class Caller(StrEnum):
    """Whoever may come to a route, as a column of the matrix."""

    ANONYMOUS = "anonymous"
    OTHER_USER = "other user"
    MEMBER = "member"  # who owns what is named
    ADMIN = "admin"
    READ_KEY = "key: read"  # the member's
    GENERATE_KEY = "key: generate"


class Policy(Struct, frozen=True):
    """Who is let in, and which scope an API key needs; without one no key is taken."""

    access: Access
    scope: Scope | None = None
    even_banned: bool = False  # it only takes from who calls, or reads by POST
    never_banned: bool = False  # it reads, but as long as it happens

    def answer_to_banned(self, method: str) -> int:
        """The same of a member who is banned, and may but read."""
        if self.never_banned:
            return 403
        is_open = method == "GET" or self.even_banned or self.access is Access.ANYBODY
        return self.answer(Caller.MEMBER) if is_open or self.access is Access.PROVIDER else 403

    def answer(self, caller: Caller) -> int:
        """The status of the refusal; 200 for whoever is let in, whatever becomes of it then."""
        if self.access is Access.ANYBODY:
            return 200
        if caller is Caller.ANONYMOUS or self.access is Access.PROVIDER:
            return 401
        if caller in _SCOPE_OF:
            return 200 if self.scope is _SCOPE_OF[caller] else 403
        return _STATUSES[self.access][caller]


_SCOPE_OF: Final = {Caller.READ_KEY: Scope.READ, Caller.GENERATE_KEY: Scope.GENERATE}
_STATUSES: Final[Mapping[Access, Mapping[Caller, int]]] = {
    Access.USER: {Caller.OTHER_USER: 200, Caller.MEMBER: 200, Caller.ADMIN: 200},
    Access.OWNER: {Caller.OTHER_USER: 404, Caller.MEMBER: 200, Caller.ADMIN: 404},
    Access.OWNER_OR_ADMIN: {Caller.OTHER_USER: 404, Caller.MEMBER: 200, Caller.ADMIN: 200},
    Access.ADMIN: {Caller.OTHER_USER: 403, Caller.MEMBER: 403, Caller.ADMIN: 200},
}

_ANYBODY: Final = Policy(Access.ANYBODY)
_PERSON: Final = Policy(Access.USER)  # by a log-in alone
_EVEN_BANNED: Final = Policy(Access.USER, even_banned=True)
_READ: Final = Policy(Access.USER, Scope.READ)
_GENERATE: Final = Policy(Access.USER, Scope.GENERATE)
_LISTEN: Final = Policy(Access.USER, Scope.READ, never_banned=True)
_ADMIN: Final = Policy(Access.ADMIN)

POLICIES: Final[Mapping[str, Policy]] = {
    "POST /api/auth/signup": _ANYBODY,
    "POST /api/auth/login": _ANYBODY,
    "POST /api/auth/oauth-callback": _ANYBODY,
    "POST /api/auth/forgot-password": _ANYBODY,
    "POST /api/auth/reset-password": _ANYBODY,
    "GET /api/auth/me": _READ,
    "POST /api/auth/change-password": _EVEN_BANNED,
    "POST /api/auth/signout-everywhere": _EVEN_BANNED,
    "GET /api/users/me": _READ,
    "POST /api/users/me": _EVEN_BANNED,
    "PATCH /api/users/me": _PERSON,
    "POST /api/users/me/profile-picture": _PERSON,
    "POST /api/users/me/remove-profile-picture": _PERSON,
    "GET /profile-pictures/{key}": _ANYBODY,
    "DELETE /api/users/me": _EVEN_BANNED,
    "GET /api/keys": _PERSON,
    "POST /api/keys": _PERSON,
    "DELETE /api/keys/{key_id}": Policy(Access.OWNER, even_banned=True),
    "GET /api/webhooks": _READ,
    "POST /api/webhooks": _PERSON,
    "PATCH /api/webhooks/{webhook_id}": Policy(Access.OWNER),
    "DELETE /api/webhooks/{webhook_id}": Policy(Access.OWNER, even_banned=True),
    "POST /api/webhooks/{webhook_id}/rotate": Policy(Access.OWNER),
    "GET /api/webhooks/{webhook_id}/deliveries": Policy(Access.OWNER, Scope.READ),
    "POST /api/webhooks/{webhook_id}/deliveries/{delivery_id}/replay": Policy(Access.OWNER),
    "POST /api/quote": Policy(Access.USER, Scope.GENERATE, even_banned=True),
    "POST /api/jobs": _GENERATE,
    "POST /api/unified-generate": _GENERATE,
    "POST /api/image/{provider}": _GENERATE,
    "POST /api/image/gemini": _GENERATE,
    "POST /api/image/recraft/variate": _GENERATE,
    "POST /api/video/{provider}": _GENERATE,
    "POST /api/ideogram/generate": _GENERATE,
    "POST /api/ideogram/edit": _GENERATE,
    "POST /api/ideogram/reframe": _GENERATE,
    "POST /api/ideogram/replace-background": _GENERATE,
    "POST /api/ideogram/upscale": _GENERATE,
    "POST /api/ideogram/describe": _GENERATE,
    "POST /api/qwen/image": _GENERATE,
    "POST /api/qwen/image-edit": _GENERATE,
    "POST /api/flux/generate": _GENERATE,
    "GET /api/flux/result": _READ,
    "GET /api/flux/download": _READ,
    "GET /api/flux/test": _READ,
    "POST /api/flux/webhook": Policy(Access.PROVIDER),
    "POST /v1/images/generations": _GENERATE,
    "POST /v1/images/edits": _GENERATE,
    "GET /v1/models": _READ,
    "GET /v1/models/{model}": _READ,
    "GET /api/jobs": _READ,
    "DELETE /api/jobs/{job_id}": Policy(Access.OWNER, Scope.GENERATE),
    "POST /api/jobs/{job_id}/cancel": Policy(Access.OWNER, Scope.GENERATE),
    "GET /api/jobs/{job_id}": Policy(Access.OWNER, Scope.READ),
    "GET /api/jobs/{job_id}/events": Policy(Access.OWNER, Scope.READ, never_banned=True),
    "GET /api/events": _LISTEN,
    "POST /api/stream-tickets": _PERSON,
    "GET /api/jobs/{job_id}/why": Policy(Access.OWNER_OR_ADMIN, Scope.READ),
    "GET /api/jobs/{job_id}/trail": Policy(Access.OWNER_OR_ADMIN, Scope.READ),
    "GET /api/jobs/{job_id}/receipt": Policy(Access.OWNER_OR_ADMIN, Scope.READ),
    "GET /api/log/checkpoint": _ANYBODY,
    "GET /api/log/proof/inclusion/{position}": _ANYBODY,
    "GET /api/log/proof/consistency/{old}": _ANYBODY,
    "GET /.well-known/daygen-keys.json": _ANYBODY,
    "GET /api/r2files": _READ,
    "GET /api/r2files/public": _ANYBODY,
    "GET /api/r2files/public/top-creators": _ANYBODY,
    "GET /api/r2files/public/user/{user_id}": _ANYBODY,
    "GET /api/r2files/public/{item_id}": _ANYBODY,
    "GET /api/r2files/proxy": _READ,
    "PATCH /api/r2files/by-url": _GENERATE,
    "DELETE /api/r2files/by-url": _GENERATE,
    "PATCH /api/r2files/{item_id}": Policy(Access.OWNER, Scope.GENERATE),
    "DELETE /api/r2files/{item_id}": Policy(Access.OWNER, Scope.GENERATE),
    "POST /api/r2files/{item_id}/toggle-like": _GENERATE,
    "POST /api/upload/presigned": _GENERATE,
    "PUT /api/upload/put/{token}": _ANYBODY,  # who has the address, which is signed
    "POST /api/upload/base64": _GENERATE,
    "POST /api/upload/file": _GENERATE,
    "POST /api/upload/profile-picture/upload": _GENERATE,
    "POST /api/upload/migrate-base64-batch": _GENERATE,
    "POST /api/upload/proxy-image": _GENERATE,
    "GET /assets/{key}": _ANYBODY,
    "GET /api/usage/mine": _READ,
    "GET /api/usage/events": _ADMIN,
    "GET /api/usage/events/export": _ADMIN,
    "POST /api/admin/reconciliation/bills": _ADMIN,
    "GET /api/admin/reconciliation/bills": _ADMIN,
    "GET /api/admin/reconciliation/bills/{bill_id}/entries": _ADMIN,
    "GET /api/admin/reconciliation/drift": _ADMIN,
    "GET /api/credits/balance": _READ,
    "GET /api/credits/transactions": _READ,
    "GET /api/users/balances": _ADMIN,
    "POST /api/admin/accounts/{account_id}/grants": _ADMIN,
    "POST /api/admin/accounts/{account_id}/adjustments": _ADMIN,
    "POST /api/admin/accounts/{account_id}/forfeits": _ADMIN,
    "POST /api/admin/accounts/{account_id}/reversals": _ADMIN,
    "PUT /api/admin/accounts/{account_id}/grace": _ADMIN,
    "POST /api/admin/accounts/{account_id}/deductions": _ADMIN,
    "GET /api/admin/deductions/{deduction_id}": _ADMIN,
    "GET /api/admin/events": _ADMIN,
    "GET /api/admin/why": _ADMIN,
    "POST /api/admin/price-books": _ADMIN,
    "GET /api/admin/price-books": _ADMIN,
    "GET /api/admin/price-books/{version}": _ADMIN,
    "POST /api/admin/users/{user_id}/ban": _ADMIN,
    "POST /api/admin/users/{user_id}/unban": _ADMIN,
    "DELETE /api/admin/users/{user_id}": _ADMIN,
    "GET /api/admin/limits/{kind}/{subject}": _ADMIN,
    "PUT /api/admin/limits/{kind}/{subject}": _ADMIN,
    "PUT /api/admin/limits/{kind}/{subject}/throttle": _ADMIN,
    **{
        f"{action.format(f'/api/admin/dead-letters/{service.value}')}": _ADMIN
        for service in Service
        for action in (
            "GET {}",
            "GET {}/{{parked_id}}",
            "POST {}/{{parked_id}}/redrive",
            "POST {}/{{parked_id}}/discard",
        )
    },
}


def routes_of(document: Mapping[str, Any]) -> Iterator[str]:
    """Every route of an OpenAPI document, as a key of the policies."""
    for path, operations in document["paths"].items():
        for method in operations:
            if method in METHODS:
                yield f"{method.upper()} {path}"


def declare(document: dict[str, Any]) -> None:
    """Write each route's policy into an OpenAPI document."""
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            policy = POLICIES.get(f"{method.upper()} {path}")
            if policy is not None:
                scope = policy.scope.value if policy.scope else None
                operation["x-access"] = {"access": policy.access.value, "keyScope": scope}


def page() -> str:
    """The matrix as it stands in `docs/access.md`."""
    lines = [
        "# Who may call what",
        "",
        "Generated by `python -m services.gateway.api.access`; a test calls every route as each of",
        "these callers and compares. A number is the refusal's status. *Member* owns what the",
        "route names, *other user* and *admin* do not; the keys are the member's; *banned* is the",
        "member after a ban and a new log-in: to read, and to leave. `/`, `/docs`,",
        "`/openapi.json`, `/health/...` and `/metrics` are open.",
        "",
        f"| route | policy | {' | '.join(caller.value for caller in Caller)} | banned |",
        f"|---|---|{'---|' * (len(Caller) + 1)}",
    ]
    for route in sorted(POLICIES, key=lambda route: route.split()[::-1]):
        policy = POLICIES[route]
        banned = policy.answer_to_banned(route.split()[0])
        answers = (*(policy.answer(caller) for caller in Caller), banned)
        cells = " | ".join("yes" if status == 200 else str(status) for status in answers)
        lines.append(f"| `{route}` | {policy.access.value} | {cells} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.stdout.write(page())
