"""Billing alone decides what a call counts as in the usage trail and in money."""
