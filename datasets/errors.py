"""The one exception type that reaches a user as a sentence instead of a traceback."""


class CrossplaceError(Exception):
    """Something the user can mend: the message says what was expected, what was found, where, and what to do next."""
