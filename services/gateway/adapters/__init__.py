"""The real third parties behind the ports."""
