"""What a text must satisfy that is to be stored."""


def is_storable(text: str) -> bool:
    """Whether Postgres takes it: JSON allows NUL and lone surrogates, Postgres does not."""
    if "\0" in text:
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
