"""Rectification in a project: a new version of the data, a new score and a new decision."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.card.schema.model_card import read
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.data_subjects import access_report
from sovereign_ml.data_subjects import rectification_receipt as receipts
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.data_subjects.rectification_receipt import Again, Rectification
from sovereign_ml.data_subjects.stores import dvc_versions
from sovereign_ml.data_subjects.stores.parquet import ParquetRows
from sovereign_ml.decision_log import DecisionLog, note_rectification
from sovereign_ml.errors import Misuse
from sovereign_ml.features import event_tables
from sovereign_ml.privacy import corrections, objections, suppression
from sovereign_ml.storage import dvc
from sovereign_ml.storage.artifacts import need, read_json

RECEIPTS = Path(suppression.FOLDER) / "receipts"
AGAIN = ("data", "validate", "features", "score")
"""Steps that a correction runs; the model is due at the next `churn run`."""


def rectify(
    stores: ProjectStores,
    names: Sequence[str],
    row: corrections.CorrectedRow,
    values: Mapping[str, str],
    reference: str = "",
) -> tuple[Rectification, Path]:
    """Correct ``values`` of a person's ``row``, score and decide again. Return receipt and page.

    ``names`` are their pseudonyms, the one in use first. Raises Misuse if nothing is held about
    them, or no purchase or event at that time (UTC).
    """
    raw, features = stores.artifacts.raw, stores.artifacts.features
    # Before anything is written: a correction that reaches no row must not be noted.
    rows, person = _rows(raw, names, row), names[0]
    before = dvc.data_version(raw)
    corrections.add(raw, person, row, values)
    stores.source.refresh()
    dvc_versions.run_only(stores.root, AGAIN)
    text = f"Corrected on request: {', '.join(values)}"
    again, noted = _decide(features, stores.log, names, text)
    # Everybody who received the data is informed, unless that is impossible (GDPR Art. 19).
    card = read(need(stores.artifacts.card, "card") / "card.json")
    now = datetime.now(UTC)
    receipt = Rectification(
        id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        reference=reference,
        person=suppression.tombstones(stores.suppression).mark(person),
        at=now,
        columns=tuple(f"{row.event}.{name}" if row.event else name for name in values),
        rows=rows,
        data_version=(before, dvc.data_version(raw)),
        again=again,
        noted=tuple(noted),
        recipients=tuple(access_report.about(card)["recipients"]),
    )
    return receipt, receipts.write(receipt, stores.root / RECEIPTS)


def _rows(raw: Path, names: Sequence[str], row: corrections.CorrectedRow) -> int:
    """Return how many rows are held that a correction would reach, or raise Misuse."""
    table, absence = "customers", "no row in the customers table"
    if row.event:
        table = f"{event_tables.PREFIX}{row.event}"
        if table not in (tables := event_tables.names(need(raw, "data"))):
            available = (
                ", ".join(name.removeprefix(event_tables.PREFIX) for name in tables) or "none"
            )
            raise Misuse(f"No event table '{row.event}': [data.events] has {available}.")
        absence = f"no event in {row.event} at {row.time:%Y-%m-%d %H:%M:%S} UTC"
    elif row.time:
        table, absence = "transactions", f"no purchase at {row.time:%Y-%m-%d %H:%M:%S} UTC"
    path, rows = need(raw, "data") / f"{table}.parquet", ParquetRows()
    if count := sum(rows.count_both(path, name, row.condition) for name in names):
        return count
    raise Misuse(
        f"Of this person there is {absence}: `churn data-subject access` shows what is held."
    )


def _decide(
    features: Path, location: LogLocation, names: Sequence[str], text: str
) -> tuple[Again | None, list[str]]:
    current = read_json(features / "summary.json")["current"]
    rows = ParquetRows().rows(features / "snapshots.parquet", names[0])
    today = [row for row in rows if str(row["event_timestamp"])[:10] == current[:10]]
    with objections.decision_log(location) as log:
        if log is None:
            return None, []
        if not today:
            # Nothing can be decided again without features of today. Decisions that rested on the
            # wrong data get their note all the same.
            return None, [case for name in names for case in note_rectification(log, name, text)]
        row: dict[str, Any] = {
            name: value for name, value in today[0].items() if name != "event_timestamp"
        }
        # After a key rotation a person can have two pseudonyms. The newest decision is the one that
        # is taken again.
        first, *others = sorted(names, key=lambda name: _last(log, name), reverse=True)
        again, noted = receipts.decide_again(log, first, row, text)
        return again, [
            *noted,
            *(case for name in others for case in note_rectification(log, name, text)),
        ]


def _last(log: DecisionLog, name: str) -> int:
    """Return the number of the newest entry about a pseudonym, 0 without any."""
    return next((entry.seq for entry in log.of_subject(name, 1)), 0)
