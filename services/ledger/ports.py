"""What the ledger asks of where its secrets are kept."""

from collections.abc import Callable

from libs.proofs.keyring import Keyring

Keys = Callable[[], Keyring]
"""The keys as they are now: a rotation is seen without a new start."""
