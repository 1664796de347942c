"""An access request: every table with rows of a person, the log, and what the card says."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from sovereign_ml.card.records.document import to_html
from sovereign_ml.card.schema.card import read
from sovereign_ml.data_subjects import access_report
from sovereign_ml.data_subjects.access_letter import document
from sovereign_ml.data_subjects.project_stores import ProjectStores
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


def gather(stores: ProjectStores, names: Sequence[str]) -> access_report.Access:
    """Return everything held about one person under ``names``, the pseudonym in use first.

    The copies that steps make of the same rows are shown once only.
    """
    card = read(need(stores.artifacts.card, "card") / "card.json")
    data = stores.root / "data"
    decisions: list[access_report.DecisionHeld] = []
    campaigns: list[access_report.Row] = []
    objected = False
    with objections.decision_log(stores.log) as log:
        if log:
            for name in names:
                decisions += access_report.decisions(log, name)
                campaigns += access_report.campaigns(log, name)
            objected = bool(log.objectors() & set(names))
    return access_report.Access(
        subject=names[0],
        made_at=datetime.now(UTC),
        provided={LABELS[table]: _rows(data, table, names) for table in PROVIDED},
        profile={
            **{LABELS[table]: _rows(data, table, names) for table in PROFILE},
            **({"campaigns": campaigns} if campaigns else {}),
        },
        decisions=sorted(decisions, key=lambda decision: decision.at, reverse=True),
        objected=objected,
        retention=access_report.periods(stores.retention),
        **access_report.about(card),
    )


def write(access: access_report.Access, folder: Path, organisation: str) -> tuple[Path, Path]:
    """Write ``access.json`` and ``access.html`` into ``folder``, readable by their owner only."""
    paths = folder / "access.json", folder / "access.html"
    title = f"Your data at {organisation}"
    write_durably(paths[0], access.model_dump_json(indent=2) + "\n", mode=0o600)
    write_durably(paths[1], to_html(document(access, title)), mode=0o600)
    return paths


def _rows(data: Path, table: str, names: Sequence[str]) -> list[access_report.Row]:
    path = data / f"{table}.parquet"
    rows = ParquetRows()
    return [row for name in names for row in rows.rows(path, name)] if path.is_file() else []
