"""Rules of the gateway: identity, prices, limits, admission, a job's state. No I/O."""
