"""The audit of this project's own addresses, for `churn audit` and for the card's hosting list."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime

from sovereign_ml.audit import Report, audit, declarations
from sovereign_ml.config.settings import Settings


def judged(settings: Settings, environ: Mapping[str, str]) -> Report:
    """Every address in the project's files and in ``environ``, judged by [audit] and the owners' declarations."""
    card = settings.root / "model_card.toml"
    answers = tomllib.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    return audit(
        settings.root,
        settings.audit,
        today=datetime.now(UTC).date(),
        environ=environ,
        declared=declarations(answers),
        project=settings.project.name,
        strict=settings.profile_name != "local",
    )
