"""The exceptions that end in a sentence instead of a traceback."""

from __future__ import annotations


class UserError(ValueError):
    """Bad input: one sentence naming what is wrong, where, and what would be right.

    The command line prints it without a traceback and exits with status 2.
    """


class RunError(RuntimeError):
    """Something outside failed while running; says what, what is kept, and how to go on.

    The command line prints it without a traceback and exits with status 1.
    """
