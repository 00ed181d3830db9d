"""The drill: faults in a seeded order on the running system under load, and what came of them."""
