"""An access request in this project: every table that holds rows of a person, the log, and what the card says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sovereign_ml.card.records.document import to_html
from sovereign_ml.card.schema.card import read
from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects import access_report
from sovereign_ml.data_subjects.access_letter import document
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
from sovereign_ml.privacy import objections
from sovereign_ml.privacy.tombstones import write_durably
from sovereign_ml.storage.artifacts import need

PROVIDED = (
    "1_raw/transactions",
    "1_raw/customers",
    "1_raw/groups",
    "1_raw/corrections",
    "2_valid/rejected_transactions",
)
PROFILE = ("3_features/snapshots", "3_features/training", "8_scores/scores")
LABELS = {
    "1_raw/transactions": "purchases",
    "1_raw/customers": "consent and objection",
    "1_raw/groups": "country and birth year",
    "1_raw/corrections": "corrections you asked for",
    "2_valid/rejected_transactions": "purchases that broke a rule",
    "3_features/snapshots": "features by day",
    "3_features/training": "rows the model was trained or tested on",
    "8_scores/scores": "score",
}


def gather(settings: Settings, names: Sequence[str]) -> access_report.Access:
    """Everything held about one person under ``names``, their pseudonyms, the one in use first.

    The copies that steps make of the same rows are shown once only.
    """
    card = read(need(settings.path("card"), "card") / "card.json")
    decisions: list[access_report.Decision] = []
    objected = False
    with objections.decision_log(settings.log_location) as log:
        if log:
            decisions = [made for name in names for made in access_report.decisions(log, name)]
            objected = bool(log.objectors() & set(names))
    return access_report.Access(
        subject=names[0],
        made_at=datetime.now(UTC),
        provided={LABELS[name]: _rows(settings, name, names) for name in PROVIDED},
        profile={LABELS[name]: _rows(settings, name, names) for name in PROFILE},
        decisions=sorted(decisions, key=lambda one: one.at, reverse=True),
        objected=objected,
        retention=access_report.periods(settings.retention),
        **access_report.about(card),
    )


def write(settings: Settings, found: access_report.Access, folder: Path) -> tuple[Path, Path]:
    """``access.json`` and ``access.html`` in ``folder``, readable by their owner only."""
    paths = folder / "access.json", folder / "access.html"
    title = f"Your data at {settings.project.organisation}"
    write_durably(paths[0], found.model_dump_json(indent=2) + "\n", mode=0o600)
    write_durably(paths[1], to_html(document(found, title)), mode=0o600)
    return paths


def _rows(settings: Settings, name: str, names: Sequence[str]) -> list[access_report.Row]:
    path = settings.root / "data" / f"{name}.parquet"
    rows = ParquetRows()
    return [row for one in names for row in rows.rows(path, one)] if path.is_file() else []
