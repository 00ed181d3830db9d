"""Stand-ins for the picture providers: their wire protocols, with pictures that say "simulated"."""
