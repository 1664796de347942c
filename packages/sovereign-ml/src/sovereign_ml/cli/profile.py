"""The option ``--profile`` of the commands, and the settings of the profile that it names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sovereign_ml.config.settings import Settings

ProfileOption = Annotated[
    str | None, typer.Option(help="local or eu; default: CHURN_PROFILE, else local.")
]


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
