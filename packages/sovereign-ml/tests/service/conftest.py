"""A service over a small bundle, in this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from service_desk import Desk, open_desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Callable[..., Desk]]:
    """Open a service; keyword arguments change its policy or settings."""
    with ExitStack() as stack:

        def opened(**changed: Any) -> Desk:
            return stack.enter_context(open_desk(tmp_path, **changed))

        yield opened


@pytest.fixture
def open_service(desk: Callable[..., Desk]) -> Desk:
    """A service with keys, an offer at band high, no significant effect."""
    return desk()
