"""Rules on minimisation, retention and erasure (GDPR 5, 12, 17, 25)."""

from __future__ import annotations

import re
from typing import Final

from sovereign_ml.card.rules.answered.periods import days
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, rule
from sovereign_ml.card.schema.base import is_open
from sovereign_ml.card.schema.data_life import RetentionRule
from sovereign_ml.card.schema.facts_data import FeatureFact, StorageObject

BANNED: Final = {
    "consent_status": "consent is a gate, never a feature",
    "identifier": "a direct identifier",
    "free_text": "free text",
}


SPAN: Final = r"(\d+)[ -](day|week|month)s?"
# Only spans with such a word are compared: other numbers in a text may be about anything.
AHEAD: Final = re.compile(rf"\b(?:next|coming|following|within|for) {SPAN}\b", re.IGNORECASE)
BEFORE: Final = re.compile(rf"\b(?:last|past|previous) {SPAN}\b", re.IGNORECASE)
HORIZON: Final = re.compile(r"^(?:P(\d+)D|(\d+) days from the cut-off)")
POPULATION: Final = re.compile(r"(\d+) days before")


OF_CONTRACTS: Final = re.compile(
    r"contract|subscri|cancel|terminat|member|policy|tariff", re.IGNORECASE
)
OF_PURCHASES: Final = re.compile(r"purchas|order|buy|bought", re.IGNORECASE)


@rule(
    "R77",
    "GDPR 5(1)(d), 13(2)(f)",
    "Say in model_card.toml what [features] and [label] in config.toml say, or change the setting.",
)
def another_horizon(case: Case) -> Hits:
    """The card tells another label than the data has: other days, other people, or purchases for contracts."""
    window = case.facts.data.label_window or ""
    purpose, label = case.answers.purpose.statement, case.answers.data.label_definition
    ahead = HORIZON.search(window)
    horizon = next(filter(None, ahead.groups())) if ahead else None
    population = POPULATION.search(window)
    checks = (
        ("purpose.statement", purpose, AHEAD, horizon),
        ("data.label_definition", label, AHEAD, horizon),
        ("data.label_definition", label, BEFORE, population and population.group(1)),
    )
    if label and not is_open(label):
        if "contracts" in window and not OF_CONTRACTS.search(label):
            yield "data.label_definition names no contract, and the label is the end of a contract."
        if "who bought" in window and OF_CONTRACTS.search(label) and not OF_PURCHASES.search(label):
            yield "data.label_definition names no purchase, and the label is that nobody buys."
    for path, text, pattern, true_days in checks:
        matches = [match for match in pattern.finditer(text or "") if true_days]
        for match in matches:
            if not _same_span(int(match.group(1)), match.group(2).lower(), int(true_days or 0)):
                yield f"{path} says '{match.group()}', the data has {true_days} days."


def _same_span(count: int, unit: str, days: int) -> bool:
    """Return whether so many days, weeks or months are ``days``.

    A month has 28 to 31 of them.
    """
    if unit == "month":
        return 28 * count <= days <= 31 * count
    return count * (7 if unit == "week" else 1) == days


@rule("R32", "GDPR 5(1)(c), 25", "Take the feature out, or say in one sentence why it is needed.")
def unnecessary_input(case: Case) -> Hits:
    """Consent status, direct identifier or free text as a feature, or a feature without a reason."""
    for feature in case.facts.data.features:
        if why := _banned(feature):
            yield f"{feature.name}: {why}."
    scan = case.facts.data.pii_scan
    # The scan looks at names and category values, whatever the contract calls the feature.
    if scan and (scan.direct_identifiers or scan.free_text):
        yield (
            f"The scan found {', '.join((*scan.direct_identifiers, *scan.free_text))} in the "
            "training matrix."
        )


def _banned(feature: FeatureFact) -> str:
    no_reason = "" if not is_open(feature.necessity_reason) else "no reason why it is necessary"
    # The category decides first: no reason makes an identifier a feature.
    return BANNED.get(feature.category, no_reason)


@rule(
    "R33",
    "GDPR 5(1)(c), 25(2)",
    "Take the features out of the contract: the model is as good without them.",
    severity="warn",
)
def unnecessary_features(case: Case) -> Hits:
    """Features that can go together for a loss that is surely below the policy number."""
    limit = case.policy.tolerated_loss
    path = case.facts.data.elimination
    # The upper end of the interval counts: the loss has to be small for sure.
    enough = [place for place, step in enumerate(path, start=1) if step.loss_high <= limit]
    if enough:
        # The last step below the limit counts: everything before it can go as well.
        removable, last = path[: enough[-1]], path[enough[-1] - 1]
        yield (
            f"{last.inputs_left} inputs are enough: without the others ROC AUC falls by "
            f"{last.loss:.4f}, {last.loss_high:.4f} at most (95 %, policy: {limit}): "
            f"{', '.join(step.name for step in removable)}."
        )


@rule(
    "R34",
    "GDPR 5(1)(e), 30(1)(f)",
    "Set a period in [[retention.objects]], run the purge, cover old versions.",
)
def retention(case: Case) -> Hits:
    """A stored object without a period, kept forever, overdue, or whose old versions are not deleted."""
    answered = case.answers.retention.objects
    rules: dict[str, RetentionRule] = (
        {} if isinstance(answered, str) else {row.object: row for row in answered}
    )
    lacking = []
    for stored in case.facts.retention.objects:
        row = rules.get(stored.object)
        if row is None or is_open(row.period):
            lacking.append(stored.object)
        else:
            yield from _kept_too_long(row, stored, case.policy.max_retention_days)
    if lacking:
        yield case.open(f"Stored without a retention period: {', '.join(lacking)}.")


def _kept_too_long(row: RetentionRule, stored: StorageObject, limit: int) -> Hits:
    period_days = days(row.period)
    if period_days is None:
        yield f"{row.object} is kept '{row.period}', which is no ISO 8601 period such as P24M."
    elif not 0 < period_days <= limit:
        yield f"{row.object} is kept {row.period}: allowed are 1 to {limit} days (policy)."
    if row.mechanism == "none":
        yield f"{row.object} is deleted by nobody: retention.objects says mechanism 'none'."
    if stored.overdue_objects:
        yield f"{stored.overdue_objects} objects of {row.object} are past their period."
    # Deleting in a versioned bucket leaves the old version, with the data in it.
    if stored.versions_exist and row.covers_versions is not True:
        do = (
            "Delete old versions with the rest, then say covers_versions = true in that block of "
            "[[retention.objects]]."
        )
        yield RuleHit(
            f"Old versions of {row.object} exist and the rule does not cover them.", do=do
        )


@rule("R35", "GDPR 17, 12(3)", "Run the erasure, rebuild the snapshot, answer the requests.")
def erased_but_there(case: Case) -> Hits:
    """Erased people are still in a snapshot, or requests are overdue."""
    facts = case.facts.retention
    if facts.erased_subjects_still_in_snapshot:
        yield f"{facts.erased_subjects_still_in_snapshot} erased people are still in a snapshot."
    if facts.open_requests_overdue:
        yield f"{facts.open_requests_overdue} erasure requests are overdue."
