"""The audit of this project's own addresses, for `churn audit` and for the card's hosting list."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from datetime import UTC, datetime

from sovereign_ml.audit import Report, audit, declarations
from sovereign_ml.config.settings import Settings


def judged(settings: Settings, environ: Mapping[str, str]) -> Report:
    """Return the audit of every address in the project's files and in ``environ``.

    The addresses are judged by [audit] and the owners' declarations.
    """
    card = settings.root / "model_card.toml"
    answers = tomllib.loads(card.read_text(encoding="utf-8")) if card.is_file() else {}
    folders = (
        *dict(settings.paths).values(),
        ".churn",
        ".mlflow",
        "build/documents",
        "build/access",
    )
    # The output of steps and `churn card documents` is no configuration: a card that names a host
    # would find itself.
    written = [f"{folder}/*" for folder in folders]
    policy = settings.audit.model_copy(update={"exclude": (*settings.audit.exclude, *written)})
    return audit(
        settings.root,
        policy,
        today=datetime.now(UTC).date(),
        environ=environ,
        declared=declarations(answers),
        project=settings.project.name,
        strict=settings.profile_name != "local",
    )
