"""The two exceptions that a user can cause, each with one line of text and an exit code."""

__all__ = ["Misuse", "Refused"]


class Refused(Exception):
    """Refusal by a gate or check (exit code 1). The message has the value seen and the limit."""

    exit_code = 1


class Misuse(Exception):
    """Wrong input, configuration or call (exit code 2). The message names the change to make."""

    exit_code = 2
