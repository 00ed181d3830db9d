"""Compares a provider's bill with our attempts: every line is matched or flagged, and none twice.

A line is found by its reference. One whose reference we do not know, or that has none, may be a
call whose answer was lost, and its name with it: it is found by its time.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from uuid import UUID

from msgspec import Struct

from libs.events.billing import BillEntry, BillFinding
from services.billing.domain.attempts import Attempt
from services.billing.domain.bills import BillFormat, BillLine


class Period(Struct, frozen=True):
    """What a bill covers, its ends included."""

    since: datetime
    until: datetime

    def covers(self, attempt: Attempt) -> bool:
        """Whether all of an attempt was within it: of one at its edge nothing is concluded."""
        return self.since <= attempt.started_at and attempt.ended_at <= self.until


class Before(Struct, frozen=True, kw_only=True):
    """What earlier bills of the provider have said."""

    lines: Mapping[str, BillEntry] = {}  # by reference
    counted: frozenset[tuple[UUID, str]] = frozenset()  # calls whose cost was taken into account


class Reconciled(Struct, frozen=True, kw_only=True):
    """A bill with all that was found."""

    entries: tuple[BillEntry, ...]
    billed_microusd: int
    own_microusd: int
    findings: dict[BillFinding, int]


def period_of(lines: Sequence[BillLine]) -> Period:
    """From the first line's time to the last one's."""
    return Period(min(each.at for each in lines), max(each.at for each in lines))


def reconcile(
    lines: Sequence[BillLine],
    attempts: Iterable[Attempt],
    before: Before,
    period: Period,
    form: BillFormat,
) -> Reconciled:
    """What each line is, and which attempts of the period are not listed."""
    work = _Reconciliation(list(attempts), before, form)
    work.match(lines)
    entries = (*(work.entry(line) for line in lines), *work.unlisted(period))
    return Reconciled(
        entries=entries,
        billed_microusd=sum(
            each.amount_microusd for each in entries if each.finding is not BillFinding.REPEATED
        ),
        own_microusd=sum(each.own_microusd for each in entries),
        findings=dict(sorted(Counter(each.finding for each in entries).items())),
    )


class _Reconciliation:
    def __init__(self, attempts: list[Attempt], before: Before, form: BillFormat) -> None:
        self._before = before
        named = {reference for each in attempts for reference in each.references}
        # One without a name of its own was found by its time, under the name on the bill.
        self._counted = {(of, call if call in named else "") for of, call in before.counted}
        self._form = form
        self._attempts = attempts
        self._by_reference = _by_reference(attempts)
        self._found: dict[int, Attempt] = {}  # by the line's number
        self._billed: Counter[UUID] = Counter()  # what all lines of an attempt come to
        self._listed: set[tuple[UUID, str]] = set()
        self._seen: set[str] = set()

    def match(self, lines: Sequence[BillLine]) -> None:
        """Find the attempt of each line: by reference, then by time what is left of both."""
        for line in lines:
            if (attempt := self._by_reference.get(line.reference)) is not None:
                self._take(line, attempt)
        models = self._models(lines)
        taken = {attempt_id for attempt_id, _ in self._counted}
        unnamed = sorted(
            (each for each in self._attempts if not each.references and each.id not in taken),
            key=lambda each: (each.started_at, each.id),
            reverse=True,
        )
        left = [line for line in lines if line.number not in self._found]
        slack = timedelta(seconds=self._form.slack_seconds)
        near: list[Attempt] = []  # those whose time a line may be of
        for line in sorted(left, key=lambda each: (each.at, each.number)):
            if line.reference and line.reference in self._before.lines:
                continue  # it was listed before: no other attempt is looked for
            while unnamed and unnamed[-1].started_at - slack <= line.at:
                near.append(unnamed.pop())
            near = [each for each in near if line.at <= each.ended_at + slack]
            for attempt in near:
                if attempt.model in models.get(line.model, {attempt.model}):
                    near.remove(attempt)
                    self._take(line, attempt)
                    break

    def _models(self, lines: Sequence[BillLine]) -> dict[str, set[str]]:
        """What we call the provider's models, as far as references tell."""
        names: defaultdict[str, set[str]] = defaultdict(set)
        for line in lines:
            if line.number in self._found:
                names[line.model].add(self._found[line.number].model)
        return names

    def _take(self, line: BillLine, attempt: Attempt) -> None:
        self._found[line.number] = attempt
        self._billed[attempt.id] += line.amount_microusd

    def entry(self, line: BillLine) -> BillEntry:
        """What a line is; lines are asked about in their order, each once."""
        attempt = self._found.get(line.number)
        finding, own = self._finding(line, attempt)
        if line.reference:
            self._seen.add(line.reference)
        return BillEntry(
            line=line.number,
            reference=line.reference,
            at=line.at,
            model=line.model,
            amount_microusd=line.amount_microusd,
            status=line.status,
            finding=finding,
            attempt_id=attempt.id if attempt else None,
            own_microusd=own,
        )

    def _finding(self, line: BillLine, attempt: Attempt | None) -> tuple[BillFinding, int]:
        if line.reference in self._seen:
            return BillFinding.DOUBLED, 0
        if (earlier := self._before.lines.get(line.reference)) is not None:
            is_same = (earlier.at, earlier.amount_microusd, earlier.status) == (
                line.at,
                line.amount_microusd,
                line.status,
            )
            # What was not known to be ours when it was listed first is counted now.
            own = self._own(attempt, line.reference) if attempt else 0
            return (BillFinding.REPEATED if is_same else BillFinding.DOUBLED), own
        if attempt is None:
            return BillFinding.UNKNOWN_ATTEMPT, 0
        call = line.reference if attempt.references else ""
        own = self._own(attempt, call)
        if attempt.is_unknown:
            return BillFinding.RESOLVED, 0
        return self._compared(line, attempt, attempt.share_microusd(call)), own

    def _own(self, attempt: Attempt, call: str) -> int:
        """What we recorded for a call, if it is listed for the first time."""
        self._listed.add((attempt.id, call))
        return 0 if (attempt.id, call) in self._counted else attempt.share_microusd(call)

    def _compared(self, line: BillLine, attempt: Attempt, share: int) -> BillFinding:
        if line.amount_microusd == 0 and attempt.is_expected and not line.is_free:
            return BillFinding.ZERO_COST
        is_equal = self._is_near(line.amount_microusd, share)
        if is_equal or self._is_near(self._billed[attempt.id], attempt.cost_microusd):
            return BillFinding.MATCHED
        return BillFinding.COST_DIFFERS

    def _is_near(self, one: int, other: int) -> bool:
        return abs(one - other) <= self._form.tolerance_microusd

    def unlisted(self, period: Period) -> Iterator[BillEntry]:
        """Attempts of the period that should be listed and are not, after all lines."""
        for attempt in sorted(self._attempts, key=lambda each: (each.started_at, each.id)):
            if not period.covers(attempt):
                continue
            for call in attempt.calls:
                is_of_another = self._by_reference.get(call, attempt) is not attempt
                known = (attempt.id, call)
                if is_of_another or known in self._listed or known in self._counted:
                    continue
                if attempt.is_expected:
                    own = attempt.share_microusd(call)
                    yield _unlisted(attempt, call, BillFinding.MISSING, own)
                elif attempt.is_unknown:
                    yield _unlisted(attempt, call, BillFinding.NOT_CHARGED, 0)


def _by_reference(attempts: Sequence[Attempt]) -> dict[str, Attempt]:
    """Whose call it is. Of attempts that shared a provider's job, the one that tells its cost."""
    found: dict[str, Attempt] = {}
    for attempt in sorted(
        attempts, key=lambda each: (each.is_won, not each.is_unknown, each.ended_at, each.id)
    ):
        for reference in attempt.references:
            found[reference] = attempt
    return found


def _unlisted(attempt: Attempt, reference: str, finding: BillFinding, own: int) -> BillEntry:
    return BillEntry(
        line=None,
        reference=reference,
        at=attempt.started_at,
        model=attempt.model,
        amount_microusd=0,
        status="",
        finding=finding,
        attempt_id=attempt.id,
        own_microusd=own,
    )
