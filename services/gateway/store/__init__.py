"""Every SQL statement of the gateway, one module per feature.

Locks are taken in one order: account, job, user feed, limit; within each, sorted by id.
"""
