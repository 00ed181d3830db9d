"""The ledger: it alone decides balances. Credits move here, by double entry, and nowhere else."""
