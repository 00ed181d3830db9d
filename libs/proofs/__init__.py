"""What can be checked without trusting us: Merkle logs, signed notes, canonical JSON, receipts.

Nothing here knows a database, a stream or a service: the same code proves and verifies.
"""
