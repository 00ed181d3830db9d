"""Whether requests are admitted, from what the database says under its locks.

The order is fixed: user, ban, repeat, price, credit, limit.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TypeAlias
from uuid import UUID

from msgspec import Struct
from msgspec.structs import replace

from services.gateway.domain.credits import AccountCopy
from services.gateway.domain.limits import Allowance, Demand, Kind, Subject, TooMany, take_all
from services.gateway.domain.orders import Order, estimated_tokens
from services.gateway.domain.pricing import PriceBook, UnpricedOperationError, price


class Payer(Struct, frozen=True, kw_only=True):
    """Who acts, by which key, and whose credits pay."""

    user_id: UUID
    account_id: UUID
    workspace_id: UUID | None = None
    api_key_id: UUID | None = None
    session_epoch: int | None = None  # of the log-in, if that is what they come with


class Request(Struct, frozen=True, kw_only=True):
    """An order that somebody wants admitted, as the job that it would become."""

    job_id: UUID
    payer: Payer
    order: Order
    fingerprint: bytes
    route: str
    key: str | None = None  # of idempotency
    book_version: int | None = None  # the only book whose price is agreed to

    @property
    def subjects(self) -> list[Subject]:
        """Whose limits bind the request, in the order of their locks."""
        payer = self.payer
        found = [Subject(Kind.USER, str(payer.user_id))]
        if payer.workspace_id is not None:
            found.append(Subject(Kind.WORKSPACE, str(payer.workspace_id)))
        if payer.api_key_id is not None:
            found.append(Subject(Kind.KEY, str(payer.api_key_id)))
        return [*found, Subject(Kind.PROVIDER, self.order.provider)]


class Earlier(Struct, frozen=True, kw_only=True, gc=False):
    """What was accepted under the same idempotency key."""

    job_id: UUID
    fingerprint: bytes


class Standing(Struct, frozen=True, kw_only=True):
    """What is known of the one who asks."""

    is_banned: bool
    is_key_revoked: bool
    is_log_in_revoked: bool
    account: AccountCopy
    earlier: Earlier | None


class BookInForce(Struct, frozen=True, kw_only=True):
    """The price book that holds at an instant of the database's clock."""

    version: int
    book: PriceBook


class Terms(Struct, frozen=True, kw_only=True):
    """The state that an admission depends on, at one instant of the database's clock."""

    now: datetime
    standing: Standing | None
    allowances: tuple[Allowance, ...]
    book: BookInForce | None


class Admitted(Struct, frozen=True, kw_only=True):
    """The job may start at this price; `allowances` are what is left after it."""

    unit_credits: int
    units: int
    tokens: int  # estimated
    book_version: int
    rule: str
    allowances: tuple[Allowance, ...]

    @property
    def credits(self) -> int:
        return self.unit_credits * self.units


class Repeated(Struct, frozen=True):
    """The same request was accepted before: this is its job."""

    job_id: UUID


class KeyReused(Struct, frozen=True):
    """Another request was accepted under the same key."""


class NotKnown(Struct, frozen=True):
    """There is no such user, or their API key or log-in was revoked."""


class Banned(Struct, frozen=True):
    """The user may not generate."""


class NotPriced(Struct, frozen=True):
    """No book is in force, or the one in force has no price for the operation."""

    operation: str


class PriceChanged(Struct, frozen=True, kw_only=True):
    """Another book is in force than the one whose price was agreed to."""

    agreed: int
    in_force: int


class CreditsShort(Struct, frozen=True, kw_only=True):
    """The account has fewer credits to offer than the job costs."""

    needed: int
    available: int


Refusal: TypeAlias = (
    NotKnown | KeyReused | Banned | NotPriced | PriceChanged | CreditsShort | TooMany
)
Decision: TypeAlias = Admitted | Repeated | Refusal


def decide(request: Request, terms: Terms) -> Decision:
    """Admit, join the job of an earlier equal request, or refuse."""
    standing = terms.standing
    if standing is None or standing.is_key_revoked:
        return NotKnown()
    if standing.is_banned:
        return Banned()
    if standing.is_log_in_revoked:  # a ban does so, too, and says why
        return NotKnown()
    if standing.earlier is not None:
        same = standing.earlier.fingerprint == request.fingerprint
        return Repeated(standing.earlier.job_id) if same else KeyReused()
    return _decide_on_offer(request, standing, terms)


def _decide_on_offer(request: Request, standing: Standing, terms: Terms) -> Admitted | Refusal:
    offer = offered(request.order, terms.book)
    if isinstance(offer, NotPriced):
        return offer
    if request.book_version not in {None, offer.book_version}:
        return PriceChanged(agreed=request.book_version or 0, in_force=offer.book_version)
    # A job that costs nothing is refused too while the account is in debt.
    if standing.account.available < offer.credits:
        return CreditsShort(needed=offer.credits, available=standing.account.available)
    demand = Demand(credits=offer.credits, tokens=offer.tokens)
    taken = take_all(terms.allowances, demand, terms.now)
    if isinstance(taken, TooMany):
        return taken
    return replace(offer, allowances=taken)


def offered(order: Order, in_force: BookInForce | None) -> Admitted | NotPriced:
    """What an order costs, before anybody has asked whether it is admitted."""
    if in_force is None:
        return NotPriced(order.operation)
    try:
        priced = price(in_force.book, order)
    except UnpricedOperationError:
        return NotPriced(order.operation)
    return Admitted(
        unit_credits=priced.unit_credits,
        units=order.units,
        tokens=estimated_tokens(order),
        book_version=in_force.version,
        rule=priced.rule,
        allowances=(),
    )


def plain_offers(requests: Sequence[Request], in_force: BookInForce) -> list[Admitted] | None:
    """What requests cost, if credits, limits and standing alone can still speak against them.

    None: one of them takes a closer look, as a request for another book's prices does.
    """
    names = [(each.payer.user_id, each.route, each.key) for each in requests if each.key]
    if len(set(names)) < len(names):  # one of them is the other's repeat
        return None
    offers: list[Admitted] = []
    for each in requests:
        offer = offered(each.order, in_force)
        if isinstance(offer, NotPriced) or each.order.inputs:
            return None
        if each.book_version not in {None, offer.book_version}:
            return None
        offers.append(offer)
    return offers


class Counter:
    """Decides requests one after the other: each sees what those before it have taken."""

    def __init__(
        self, *, now: datetime, book: BookInForce | None, allowances: Iterable[Allowance]
    ) -> None:
        self.now = now
        self._book = book
        self._allowances = {each.subject: each for each in allowances}
        self._accounts: dict[UUID, AccountCopy] = {}
        self._accepted: dict[tuple[UUID, str, str], Earlier] = {}

    def decide(self, request: Request, standing: Standing | None) -> Decision:
        """The decision on the next request; `standing` is what the database says of it."""
        terms = Terms(
            now=self.now,
            standing=standing and self._now_standing(request, standing),
            allowances=tuple(
                self._allowances[subject] for subject in request.subjects if standing is not None
            ),
            book=self._book,
        )
        decision = decide(request, terms)
        if isinstance(decision, Admitted) and terms.standing is not None:
            self._accept(request, terms.standing.account, decision)
        return decision

    def offer(self, order: Order) -> Admitted | NotPriced:
        """What an order costs now."""
        return offered(order, self._book)

    def _now_standing(self, request: Request, stored: Standing) -> Standing:
        account = self._accounts.get(request.payer.account_id, stored.account)
        earlier = stored.earlier
        if request.key is not None:
            accepted = self._accepted.get((request.payer.user_id, request.route, request.key))
            earlier = accepted or earlier
        return replace(stored, account=account, earlier=earlier)

    def _accept(self, request: Request, account: AccountCopy, admitted: Admitted) -> None:
        held = replace(account, held=account.held + admitted.credits)
        self._accounts[request.payer.account_id] = held
        for allowance in admitted.allowances:
            self._allowances[allowance.subject] = allowance
        if request.key is not None:
            name = (request.payer.user_id, request.route, request.key)
            self._accepted[name] = Earlier(job_id=request.job_id, fingerprint=request.fingerprint)

    def allowances_of(self, requests: Iterable[Request]) -> list[Allowance]:
        """What is left to the subjects of these requests, in the order of their locks."""
        subjects = {subject for request in requests for subject in request.subjects}
        return [self._allowances[each] for each in sorted(subjects, key=lambda s: s.lock_order)]
