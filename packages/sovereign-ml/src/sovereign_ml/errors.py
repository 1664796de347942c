"""The two exceptions that a user can cause, each with one line of text and an exit code."""

__all__ = ["Misuse", "Refused"]


class Refused(Exception):
    """A gate or check said no (exit code 1): the message says what was seen and what is allowed."""

    exit_code = 1


class Misuse(Exception):
    """Wrong input, configuration or call (exit code 2): the message says what to change."""

    exit_code = 2
