"""The third parties behind the gallery's ports."""
