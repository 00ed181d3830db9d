"""Start-time fair queueing: tags, and what they promise about shares."""

import heapq
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from services.generation.tests import fairness

COSTS = st.lists(st.integers(1, 8), min_size=1, max_size=30)


def test_the_first_job_of_a_new_account_starts_at_the_virtual_time() -> None:
    assert fairness.start_tags(37, 0, [2, 1]) == ([37, 39], 40)


def test_a_busy_account_continues_behind_its_own_last_job() -> None:
    assert fairness.start_tags(37, 90, [2, 1]) == ([90, 92], 93)


@given(st.integers(0, 1000), st.integers(0, 1000), COSTS)
def test_an_accounts_tags_rise_and_never_lie_before_the_virtual_time(
    virtual_time: int, finish_tag: int, costs: list[int]
) -> None:
    tags, finish = fairness.start_tags(virtual_time, finish_tag, costs)
    assert tags == sorted(tags)
    assert tags[0] >= virtual_time
    assert finish == tags[0] + sum(costs)


@given(st.integers(0, 1000), st.integers(0, 1000), COSTS, COSTS)
def test_a_batch_gets_the_tags_that_its_jobs_would_get_one_by_one(
    virtual_time: int, finish_tag: int, first: list[int], second: list[int]
) -> None:
    tags, middle = fairness.start_tags(virtual_time, finish_tag, first)
    more, finish = fairness.start_tags(virtual_time, middle, second)
    assert fairness.start_tags(virtual_time, finish_tag, first + second) == (tags + more, finish)


@given(st.lists(COSTS, min_size=2, max_size=5))
def test_accounts_with_work_get_equal_shares_up_to_their_largest_jobs(
    accounts: list[list[int]],
) -> None:
    """Theorem 1 of the paper, with equal weights, over every interval from the start."""
    queue: list[tuple[int, int, int]] = []
    for account, costs in enumerate(accounts):
        tags, _ = fairness.start_tags(0, 0, costs)
        queue += [(tag, account, each) for tag, each in zip(tags, costs, strict=True)]
    heapq.heapify(queue)
    served: Counter[int] = Counter()
    left = {account: len(costs) for account, costs in enumerate(accounts)}
    while all(left.values()):
        _, account, each = heapq.heappop(queue)
        served[account] += each
        left[account] -= 1
        for one, costs in enumerate(accounts):
            for other, others in enumerate(accounts):
                assert served[one] - served[other] <= max(costs) + max(others)
