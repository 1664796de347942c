"""The small project after its first run, in a folder of its own, with answers that nothing blocks."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path
from typing import Any

import tomlkit
from mlflow.tracking._tracking_service import utils as tracking_utils

from card_answers import offer_answers, put
from small_project import commit, configure
from sovereign_ml.card.schema.card import read
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
    stored = [row.object for row in read(root / "data/6_card/card.json").facts.retention.objects]
    rows = [{"object": name, "period": "P24M", "covers_versions": True} for name in stored]
    put(given, "retention.objects", rows)
    put(given, "evaluation.fairness_tolerance", 1.0)
    put(given, "ropa.recipients", ["Nordhost", "Hetzner"])
    (root / "model_card.toml").write_text(tomlkit.dumps(given), encoding="utf-8")
