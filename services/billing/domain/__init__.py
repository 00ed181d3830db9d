"""Rules of billing: what a finished job counts as. No I/O."""
