"""What billing does when other services have spoken: projections, and the answers to them."""

from collections.abc import Sequence

from libs.events.billing import UsageRecorded
from libs.events.envelope import Event
from libs.events.names import EventType, Topic
from libs.events.payload import Payload
from libs.runtime.db import Transaction
from libs.runtime.recovery import History
from services.billing import projections
from services.billing.store import bills

TOPICS = (Topic.IDENTITY, Topic.GENERATION)
PACE_SECONDS = 0.04  # usage is not looked at while it happens
ANSWERS = (EventType.GENERATION_COMPLETED, EventType.GENERATION_FAILED)
# Of an erased person it keeps what was used and paid, which holds no words of theirs.
EVENT_TYPES = (EventType.ACCOUNT_ERASED, EventType.GENERATION_ATTEMPT_ENDED, *ANSWERS)
NEVER_DISCARDED = dict.fromkeys(
    ANSWERS,
    "Every job has a usage row, and completes only with it: correct the cause and redrive.",
)


async def remember(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Keep what bills of providers came to."""
    await bills.follow(transaction.connection, events)


async def fold(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Record what was confirmed before."""
    await projections.record_finished_jobs(transaction.connection, events)


HISTORY = History(
    own=(Topic.BILLING,),
    fold=remember,
    answers=(EventType.USAGE_RECORDED,),
    inputs=(Topic.GENERATION,),
    fold_input=fold,
)


async def record(transaction: Transaction, events: Sequence[Event[Payload]]) -> None:
    """Record a batch of attempts and finished jobs, and confirm each new job."""
    await projections.record_attempts(transaction.connection, events)
    recorded = await projections.record_finished_jobs(transaction.connection, events)
    for event, usage in recorded:
        transaction.publish(
            UsageRecorded(
                job_id=usage.job_id,
                account_id=usage.account_id,
                usage_id=usage.id,
                outcome=usage.outcome,
                credits=usage.credits,
            ),
            cause=event,
        )
