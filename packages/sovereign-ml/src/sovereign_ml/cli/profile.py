"""The option ``--profile`` of the commands, the settings that it names, and numbers of options."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings

ProfileOption = Annotated[
    str | None, typer.Option(help="local or eu; default: CHURN_PROFILE, else local.")
]


def finite(value: float | None) -> float | None:
    """Return the number of an option. Raises BadParameter for nan and inf."""
    # Neither is below a minimum or above a maximum, so nan passes every limit and every comparison.
    if value is not None and not math.isfinite(value):
        raise typer.BadParameter(f"{value} is no number to compute with: write one such as 0.05.")
    return value


def load_settings(profile: str | None) -> Settings:
    """Return the settings of ``profile``."""
    # The import takes long, and `churn --help` does not need it.
    from sovereign_ml.config import settings

    return settings.load(profile)


def pass_on_settings(profile: str | None, **values: str | int | None) -> Settings:
    """Return settings with values of the call, which also reach the processes that it starts."""
    from sovereign_ml.config import settings

    settings.pass_on(profile=profile, **values)
    return settings.load()
