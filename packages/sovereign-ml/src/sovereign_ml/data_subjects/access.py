"""An access request: every table with rows of a person, the decision log, and the card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import get_args

from sovereign_ml.bundle.sealed import MANIFEST, read_bundle
from sovereign_ml.card.records import Additions, to_html
from sovereign_ml.card.schema.model_card import Card, read
from sovereign_ml.data_subjects import access_report
from sovereign_ml.data_subjects.access_letter import document
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
from sovereign_ml.decision_log.entries import Bar
from sovereign_ml.features import event_tables
from sovereign_ml.model.explain import Explainer
from sovereign_ml.privacy import objections
from sovereign_ml.privacy.tombstones import write_durably
from sovereign_ml.storage.artifacts import need
from sovereign_ml.texts import ENGLISH, Catalogue

PROVIDED = (
    "1_raw/transactions",
    "1_raw/customers",
    "1_raw/groups",
    "1_raw/corrections",
    "2_valid/rejected_transactions",
)
PROFILE = ("3_features/snapshots", "3_features/training", "8_scores/scores")
TABLES = {
    "1_raw/transactions": "purchases",
    "1_raw/customers": "consent",
    "1_raw/groups": "groups",
    "1_raw/corrections": "corrections",
    "2_valid/rejected_transactions": "rejected",
    "3_features/snapshots": "features",
    "3_features/training": "training",
    "8_scores/scores": "score",
}
"""Each table and its name in the answer; the catalogue has the words for it."""


def gather(
    stores: ProjectStores, names: Sequence[str], texts: Catalogue, added: Additions
) -> access_report.Access:
    """Return everything held about one person, in the language of ``texts``.

    ``names`` are the pseudonyms of the person, the one in use first.
    """
    card = card_of(stores)
    data = stores.root / "data"
    decisions: list[access_report.DecisionHeld] = []
    campaigns: list[access_report.Row] = []
    bars: dict[Bar, bool] = dict.fromkeys(get_args(Bar), False)
    with objections.decision_log(stores.log) as log:
        if log:
            for name in names:
                decisions += access_report.decisions(log, name, texts)
                campaigns += access_report.campaigns(log, name)
            bars = {bar: bool(objections.standing(log, names, bar)) for bar in bars}
    # Steps copy the same rows on. Each row is shown once, from the table where it first appears.
    profile = {TABLES[table]: _rows(data, table, names) for table in PROFILE}
    if campaigns:
        profile["campaigns"] = campaigns
    return access_report.Access(
        subject=names[0],
        made_at=datetime.now(UTC),
        provided={TABLES[table]: _rows(data, table, names) for table in PROVIDED}
        | event_rows(data, names),
        profile=profile,
        decisions=sorted(decisions, key=lambda decision: decision.at, reverse=True),
        objected=bars["objection"],
        restricted=bars["restriction"],
        consent_withdrawn=bars["withdrawal"],
        score_reasons=_score_reasons(data / "7_bundle", profile, texts),
        retention=access_report.periods(stores.retention),
        **access_report.about(card, texts, added),
    )


def event_rows(data: Path, names: Sequence[str]) -> dict[str, list[access_report.Row]]:
    """Return the person's rows in event tables, with the rejected ones, by name of the table."""
    prefixes = {"1_raw": event_tables.PREFIX, "2_valid": f"rejected_{event_tables.PREFIX}"}
    return {
        table: _rows(data, f"{folder}/{table}", names)
        for folder, prefix in prefixes.items()
        for table in event_tables.names(data / folder, prefix)
    }


def card_of(stores: ProjectStores) -> Card:
    """Return the card of the project's newest run."""
    return read(need(stores.artifacts.card, "card") / "card.json")


def write(
    access: access_report.Access, folder: Path, organisation: str, texts: Catalogue = ENGLISH
) -> tuple[Path, Path]:
    """Write ``access.json`` and ``access.html`` into ``folder``, readable by their owner only."""
    paths = folder / "access.json", folder / "access.html"
    write_durably(paths[0], access.model_dump_json(indent=2) + "\n", mode=0o600)
    write_durably(paths[1], to_html(document(access, organisation, texts)), mode=0o600)
    return paths


def _score_reasons(
    bundle: Path, profile: Mapping[str, Sequence[access_report.Row]], texts: Catalogue
) -> list[access_report.ReasonHeld]:
    """Return the reasons of the newest score, empty where the model or its inputs are missing."""
    if not profile["score"] or not profile["features"] or not (bundle / MANIFEST).is_file():
        return []
    sealed = read_bundle(bundle)
    # Times are ISO text in these rows, which sorts like time.
    newest = max(profile["features"], key=lambda row: str(row.get("event_timestamp")))
    return access_report.explained(
        Explainer(sealed.model, sealed.contract, sealed.policy), newest, texts
    )


def _rows(data: Path, table: str, names: Sequence[str]) -> list[access_report.Row]:
    path = data / f"{table}.parquet"
    rows = ParquetRows()
    return [row for name in names for row in rows.rows(path, name)] if path.is_file() else []
