"""Start-time fair queueing as the paper has it, one job after the other: what the queue must do."""

from collections.abc import Sequence


def start_tags(virtual_time: int, finish_tag: int, costs: Sequence[int]) -> tuple[list[int], int]:
    """The start tags of an account's next jobs in order, and the account's new finish tag."""
    tags = []
    for each in costs:
        start = max(virtual_time, finish_tag)
        tags.append(start)
        finish_tag = start + each
    return tags, finish_tag
