"""Rectification in this project: the correction becomes a new version of the data, a new score and a new decision."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.card.render.speech import said
from sovereign_ml.card.schema.card import read
from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects import access_report
from sovereign_ml.data_subjects import rectification_receipt as receipts
from sovereign_ml.data_subjects.rectification_receipt import Again, Rectification
from sovereign_ml.data_subjects.stores import dvc_versions
from sovereign_ml.data_subjects.stores.parquet import ParquetRows, at_time
from sovereign_ml.decision_log import DecisionLog, note_rectification
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline import source
from sovereign_ml.privacy import corrections, objections, suppression
from sovereign_ml.storage import dvc
from sovereign_ml.storage.artifacts import need, read_json

RECEIPTS = Path(suppression.FOLDER) / "receipts"
AGAIN = ("data", "validate", "features", "score")
"""Steps that a correction runs; the model is due at the next `churn run`."""


def rectify(
    settings: Settings,
    names: Sequence[str],
    purchase: datetime | None,
    values: Mapping[str, str],
    reference: str = "",
) -> tuple[Rectification, Path]:
    """Correct ``values`` of a person, score and decide again; return receipt and its page.

    ``names`` are their pseudonyms, the one in use first. Raises Misuse if nothing about them, or no
    purchase at that time (UTC), is held.
    """
    rows, person = _rows(settings, names, purchase), names[0]
    before = dvc.data_version(settings.path("raw"))
    corrections.add(settings.path("raw"), person, purchase, values)
    source.refresh(settings)
    dvc_versions.run_only(settings.root, AGAIN)
    again, noted = _decide(settings, names, f"Corrected on request: {', '.join(values)}")
    now = datetime.now(UTC)
    found = Rectification(
        id=f"{now:%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}",
        reference=reference,
        person=suppression.tombstones(settings.suppression).mark(person),
        at=now,
        columns=tuple(values),
        rows=rows,
        data_version=(before, dvc.data_version(settings.path("raw"))),
        again=again,
        noted=tuple(noted),
        recipients=_recipients(settings),
    )
    return found, receipts.write(found, settings.root / RECEIPTS)


def _rows(settings: Settings, names: Sequence[str], purchase: datetime | None) -> int:
    raw, rows = need(settings.path("raw"), "data"), ParquetRows()
    name = "transactions" if purchase else "customers"
    path = raw / f"{name}.parquet"
    both = at_time(purchase) if purchase else ""
    count = (
        sum(rows.count_both(path, one, both) for one in names)
        if purchase
        else rows.count(path, names)
    )
    if not count:
        what = (
            f"no purchase at {purchase:%Y-%m-%d %H:%M:%S} UTC"
            if purchase
            else "no row in the customers table"
        )
        raise Misuse(f"Of this person there is {what}: `churn access` shows what is held.")
    return count


def _decide(settings: Settings, names: Sequence[str], text: str) -> tuple[Again | None, list[str]]:
    features = settings.path("features")
    current = read_json(features / "summary.json")["current"]
    rows = ParquetRows().rows(features / "snapshots.parquet", names[0])
    today = [row for row in rows if str(row["event_timestamp"])[:10] == current[:10]]
    with objections.decision_log(settings.log_location) as log:
        if log is None or not today:
            return None, []
        row: dict[str, Any] = {
            name: value for name, value in today[0].items() if name != "event_timestamp"
        }
        first, *others = sorted(names, key=lambda one: _last(log, one), reverse=True)
        again, noted = receipts.decide_again(log, first, row, text)
        return again, [
            *noted,
            *(case for one in others for case in note_rectification(log, one, text)),
        ]


def _last(log: DecisionLog, name: str) -> int:
    """Where the newest entry about the pseudonym stands: a person who is decided about after a rotation has two."""
    return next((entry.seq for entry in log.of_subject(name, 1)), 0)


def _recipients(settings: Settings) -> tuple[str, ...]:
    """Who received the data, as the card says: they are told, unless that is impossible (GDPR Art. 19)."""
    card = read(need(settings.path("card"), "card") / "card.json")
    given = card.answers.decision.score_transmitted_to
    others = [said(given)] if isinstance(given, str) else [said(one.controller) for one in given]
    return tuple(dict.fromkeys((*access_report.about(card)["recipients"], *others)))
