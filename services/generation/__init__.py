"""Generation: the only place that decides how a job ends, and that talks to picture providers."""
