"""Rules of the gateway: identity, prices, limits, admission, and how a job's state follows from events. No I/O."""
