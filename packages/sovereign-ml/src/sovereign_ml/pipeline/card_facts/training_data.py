"""Facts for the card about data, inputs, consent and the people in the data."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sovereign_ml.audit import pii_scan
from sovereign_ml.config.tables import FeatureSettings, LabelKind
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.features.event_tables import PREFIX
from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.project import Feature, Project
from sovereign_ml.storage import dvc

ADULT = 18

if TYPE_CHECKING:
    import pandas as pd


def data(
    card: Scorecard,
    figures: dict[str, Any],
    training: pd.DataFrame,
    features: Path,
    checked: dict[str, Any],
    *,
    config: FeatureSettings,
    kind: LabelKind,
    max_association: float,
    project: Project,
) -> dict[str, Any]:
    """Return windows, versions, inputs, scans, quality and representativeness.

    Counts of people are bucketed. ``max_association`` is the limit of the rules for proxies.
    """
    values = [level for part in card.categorical for level in part.log_odds]
    words = [*(f.name for f in project.features), *values]
    identifying, sentences = (
        pii_scan.identifiers((f.name for f in project.features), values),
        pii_scan.free_text(values),
    )
    hits = pii_scan.special_categories(words)
    people, at_least = pii_scan.bucket(training["customer_id"].nunique())
    return {
        "label_window": _label_window(config, kind),
        "cutoffs": sorted({day.date() for day in training["event_timestamp"]}),
        "snapshots": _snapshots(training, dvc.data_version(features), config.lookback_days),
        "event_tables": [
            _event_table(name, table, checked)
            # Data that an older library wrote has none.
            for name, table in checked["data"].get("events", {}).items()
        ],
        "features": _features(figures, project),
        "elimination": [
            {"name": step["name"], "inputs_left": step["inputs_left"], **_loss(step["loss"])}
            for step in figures["elimination"]
        ],
        "left_out": _left_out(figures.get("left_out")),
        "pii_scan": {
            "tool": "sovereign_ml.audit.pii_scan: names, patterns and length of category values",
            "hits": len(identifying) + len(sentences),
            "direct_identifiers": identifying,
            "free_text": sentences,
        },
        "special_scan": _special(
            figures, tuple(dict.fromkeys(word for word, _ in hits)), max_association, project
        ),
        "representativeness": figures["representativeness"]["groups"],
        "shifts": figures["representativeness"]["shifts"],
        "quality": {
            "accuracy_checks": sorted(checked["rejected"]) or ["every row kept the contract"],
            "newest_event": date.fromisoformat(checked["newest_event"]),
            "duplicates": checked["data"]["set_aside"]["duplicate"],
            "rejected_share": round(1 - checked["rows_out"] / checked["rows_in"], 6),
            "customers_met": _customers_met(checked["data"].get("customers_met")),
        },
        "subjects": people,
        "subjects_at_least": at_least,
    }


def _event_table(name: str, table: dict[str, Any], checked: dict[str, Any]) -> dict[str, Any]:
    broken = sum(checked["broken"].get(f"{PREFIX}{name}", {}).values())
    return {
        "name": name,
        "rows": pii_scan.bucket(table["rows_out"])[0],
        "subjects": pii_scan.bucket(table["people"])[0],
        "from_date": date.fromisoformat(table["first_event"]),
        "to_date": date.fromisoformat(table["newest_event"]),
        "rejected_share": round(broken / table["rows_out"], 6),
    }


def _label_window(config: FeatureSettings, kind: LabelKind) -> str:
    """Return the length of the label's window in days, and the people it is about.

    Rule R77 compares answers with this text.
    """
    if kind == "ended":
        people = (
            "contracts that run at it and have a transaction "
            f"in the {config.lookback_days} days before it"
        )
    else:
        people = f"who bought in the {config.active_within_days} days before it"
    return f"{config.horizon_days} days from the cut-off, for {people}"


def _customers_met(counts: dict[str, int] | None) -> dict[str, Any] | None:
    """Return bucketed counts and shares of step 1, None without a customers table."""
    if counts is None:
        return None
    met = {"buyers": "customers_met", "customers": "customers_met"}
    kinds = ("customers", "buyers", "objected", "restricted", "refused_consent", "erased")
    facts: dict[str, Any] = {kind: pii_scan.bucket(counts[kind])[0] for kind in kinds}
    return facts | {
        f"{kind}_met_share": round(counts[met.get(kind, f"{kind}_met")] / counts[kind], 3)
        for kind in kinds
        if counts[kind]
    }


def _special(
    figures: dict[str, Any], words: tuple[str, ...], limit: float, project: Project
) -> dict[str, Any]:
    """Return hits in the lexicon, associations with groups, and proxies of special categories."""
    measured = figures["associations"]
    proxies = [
        {**row, "category": project.group_origins[row["group"]], "metric": "Cramer's V"}
        for row in measured
        if row["group"] in project.group_origins and row["value"] >= limit
    ]
    reason = (
        "" if measured else "no group column in the customers table has two groups large enough"
    )
    return {
        "lexicon_hits": words,
        "proxies": proxies,
        "associations": measured,
        "not_measured_because": reason,
    }


def _snapshots(training: pd.DataFrame, md5: str, lookback: int) -> list[dict[str, Any]]:
    from datetime import timedelta

    newest = training["event_timestamp"].max()
    parts = {
        "train": training[training["event_timestamp"] < newest],
        "test": training[training["event_timestamp"] == newest],
    }
    return [
        {
            "role": role,
            "dvc_md5": md5,
            "rows": pii_scan.bucket(len(rows))[0],
            "subjects": pii_scan.bucket(rows["customer_id"].nunique())[0],
            # The features of a cut-off look back, so the data begins before it.
            "from_date": (rows["event_timestamp"].min() - timedelta(days=lookback)).date(),
            "to_date": rows["event_timestamp"].max().date(),
        }
        for role, rows in parts.items()
    ]


def _features(figures: dict[str, Any], project: Project) -> list[dict[str, Any]]:
    worth = {entry["name"]: entry for entry in figures["features"]}
    return [
        {
            "name": f.name,
            "dtype": f.dtype,
            "unit": f.unit,
            "label": f.label,
            "category": _category(f),
            "source": f.source,
            "necessity_reason": f.necessity_reason,
            "changeable": f.changeable,
            **{k: worth[f.name][k] for k in ("importance", "ablation_delta", "missing_share")},
        }
        for f in project.features
    ]


def _left_out(entry: dict[str, Any] | None) -> dict[str, Any] | None:
    return entry and {**entry, **_loss(entry["loss"])}


def _loss(interval: dict[str, float]) -> dict[str, float]:
    return {"loss": interval["value"], "loss_low": interval["low"], "loss_high": interval["high"]}


def _category(feature: Feature) -> str:
    """Return the category that the name reveals, or that of the table the input is made from."""
    if pii_scan.identifiers([feature.name]):
        return "identifier"
    if "consent" in feature.name.casefold():
        return "consent_status"
    return "transactional" if feature.source == "transactions" else "behavioural"


def minors(groups: Path, checked: dict[str, Any]) -> dict[str, bool | None]:
    """Return whether a birth year is surely or possibly that of a person under 18.

    Both are None without birth years.
    """
    import pandas as pd

    years = pd.Series(dtype="float64")
    if groups.is_file():
        years = pd.read_parquet(groups, columns=["birth_year"])["birth_year"].dropna()
    # The age is that at the newest event, so the result does not depend on the day of the run.
    eighteen_years_before = date.fromisoformat(checked["newest_event"]).year - ADULT
    return {
        "minors_found": bool((years > eighteen_years_before).any()) if len(years) else None,
        # The birthday of that year may be still to come.
        "minors_possible": bool((years >= eighteen_years_before).any()) if len(years) else None,
    }


def consent(
    training: pd.DataFrame, features: Path, people: pd.DataFrame, checked: dict[str, Any]
) -> dict[str, Any]:
    """Return the lawful basis and counts of people who should not be in the artifacts.

    For the basis consent, the share of rows with a valid one is added.
    """
    import pandas as pd

    # Counted in what the steps wrote and not in what they were meant to write.
    marks = [f"{bar}_at" for bar in BARS.values() if f"{bar}_at" in people]
    barred = set(people.loc[people[marks].notna().any(axis=1), "customer_id"])
    current = pd.read_parquet(features / "snapshots.parquet", columns=["customer_id"])
    leaks = {
        "train": int(training["customer_id"].isin(barred).sum()),
        "score": int(current["customer_id"].isin(barred).sum()),
    }
    basis = checked["data"]["lawful_basis"]
    facts: dict[str, Any] = {
        "suppression_applied_to": [step for step, leaked in leaks.items() if not leaked],
        "leak_count": sum(leaks.values()),
        "configured_basis": basis,
    }
    if basis == "consent":
        # An empty answer is no consent, and eq() is false for it.
        agreed = set(people.loc[people["consent"].eq(True), "customer_id"])
        valid = training["customer_id"].isin(agreed)
        facts |= {
            "valid_share_of_rows": float(valid.mean()),
            "withdrawn_rows_found": int((~valid).sum()),
        }
    return facts
