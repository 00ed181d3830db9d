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
The tags are given where the queue is: `store/queue.py::ENQUEUE`.
"""


def cost(units: int) -> int:
    """A job's length in virtual time: what it occupies the provider with."""
    return units
