"""The use cases of the ledger: what others have told, what a person orders, what time ends."""
