"""The step data over a team's own files."""

from collections.abc import Callable
from pathlib import Path

import pytest

from own_files import Shop


@pytest.fixture
def shop(tmp_path: Path) -> Callable[..., Shop]:
    return lambda lines, people=(): Shop(tmp_path / "own", lines, people)
