"""Topics of the bus, for any broker."""
