"""The small project after its first run, in a folder of its own, with answers that nothing blocks."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import tomlkit
from mlflow.tracking._tracking_service import utils as tracking_utils

from card_answers import article22_answers, offer_answers, put
from small_project import commit, configure
from sovereign_ml.card.schema.model_card import read
from sovereign_ml.config.settings import Settings


def finished_copy(settings: Settings, root: Path, **more: Any) -> Path:
    """Copy the project of ``settings`` with its registry to ``root``; its data may be old. Committed."""
    shutil.copytree(settings.root, root)
    with sqlite3.connect(root / ".mlflow/mlflow.db") as connection:
        for table, column in (("runs", "artifact_uri"), ("experiments", "artifact_location")):
            sql = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            connection.execute(sql, (settings.root.as_uri(), root.as_uri()))
    # MLflow remembers the artifact folder of each run; the copy has the same runs elsewhere.
    tracking_utils._artifact_repos_cache.clear()
    configure(root, {"card.policy.max_data_age_days": 36_500, **more})
    commit(root)
    return root


def answered(root: Path) -> None:
    """What people write into ``model_card.toml``, for every object that this project stores."""
    given: dict[str, Any] = offer_answers()
    facts = read(root / "data/6_card/card.json").facts
    rows = [
        {"object": row.object, "period": row.period, "covers_versions": True}
        for row in facts.retention.objects
    ]
    put(given, "retention.objects", rows)
    found = [row.group for row in facts.data.representativeness]
    put(given, "purpose.territories", [name[8:] for name in found if name.startswith("country=")])
    # The built-in shop asks for consent, and step 1 keeps the rows that have it.
    put(given, "lawful_basis.collect", {"basis": "6_1_a", "reference": "consent text C-3"})
    put(given, "consent", article22_answers()["consent"])
    put(given, "roles.controller_contact", "team@acme.example")
    given["roles"]["processors"].append(given["roles"]["processors"][0] | {"name": "Hetzner"})
    put(given, "evaluation.fairness_tolerance", 1.0)
    put(given, "ropa.recipients", ["Nordhost", "Hetzner"])
    (root / "model_card.toml").write_text(tomlkit.dumps(given), encoding="utf-8")
