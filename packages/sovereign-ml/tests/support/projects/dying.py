"""kill -9 of this process at a chosen change of its files, or in the middle of the next write."""

from __future__ import annotations

import os
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any

CHANGES = {"open", "os.rename", "os.remove", "os.mkdir", "os.chmod", "shutil.rmtree"}
"""Events of Python's audit that change the disk; opening a file only if it is for writing."""
LEAST_BYTES = 64
"""A write that goes beyond so many bytes is cut off there."""


def die_at(number: int, places: Sequence[str], *, half: bool = False) -> Callable[[], int]:
    """Kill this process at its change ``number`` of a path that holds one of ``places``.

    With ``half`` it lives on until the next longer write, and dies in the middle of it. Return a
    function that counts the changes so far. With ``number`` 0 it only counts.
    """
    count = 0

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal count
        writes = event != "open" or _writes(arguments)
        if event not in CHANGES or not writes:
            return
        if not any(place in str(arguments[0]) for place in places):
            return
        count += 1
        if count == number and half:
            signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_FSIZE, (LEAST_BYTES, LEAST_BYTES))
        elif count == number:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    return lambda: count


def _writes(arguments: tuple[Any, ...]) -> bool:
    mode, flags = arguments[1], arguments[2]
    return bool(mode and mode[:1] in "wax") or bool(flags & (os.O_WRONLY | os.O_RDWR))
