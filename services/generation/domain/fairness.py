"""Fair shares of a provider between accounts: start-time fair queueing.

P. Goyal, H. M. Vin, H. Cheng: "Start-Time Fair Queuing: A Scheduling Algorithm for Integrated
Services Packet Switching Networks", SIGCOMM 1996. Each job gets a virtual start tag when it comes:
the later of the provider's virtual time and the finish tag of its account's job before it. Its
finish tag is that plus its cost. Whatever has the lowest start tag is served next, and the
virtual time is the start tag last served.

So an account with 500 queued jobs has tags far ahead of the virtual time, a newcomer starts at the
virtual time and is next; and an account that was idle starts there too: idle time earns nothing.
A row needs its tag only once, so the next job is the first row of an index. The paper also moves
the virtual time on when all is idle; here only differences between tags count, so that is left out.
"""

from collections.abc import Sequence


def cost(units: int) -> int:
    """A job's length in virtual time: what it occupies the provider with."""
    return units


def start_tags(virtual_time: int, finish_tag: int, costs: Sequence[int]) -> tuple[list[int], int]:
    """The start tags of an account's next jobs in order, and the account's new finish tag."""
    tags = []
    for each in costs:
        start = max(virtual_time, finish_tag)
        tags.append(start)
        finish_tag = start + each
    return tags, finish_tag


def places(waiting: Sequence[tuple[str, int]], free: dict[str, int], slots: int) -> list[int]:
    """Which of the waiting jobs start: indices into `waiting`, at most `slots`.

    `waiting` holds (provider, start tag), the lowest tag of each provider first; `free` says how
    many calls each provider still takes. Tags of two providers cannot be compared, so providers
    take turns: a slow one with a long queue cannot hold all the slots against the others.
    """
    turns: dict[str, int] = {}
    ranked = []
    for index, (provider, tag) in enumerate(waiting):
        turn = turns.get(provider, 0)
        if turn < free.get(provider, 0):
            turns[provider] = turn + 1
            ranked.append((turn, tag, index))
    return [index for _, _, index in sorted(ranked)[:slots]]
