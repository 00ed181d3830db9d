"""Rules of generation: who is served next, what a failure leads to, how a job ends. No I/O."""
