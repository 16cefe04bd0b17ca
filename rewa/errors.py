"""The one exception that means "the user can fix this"."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input: one sentence naming what is wrong, where, and what would be right.

    The command line prints it without a traceback and exits with status 2.
    """
