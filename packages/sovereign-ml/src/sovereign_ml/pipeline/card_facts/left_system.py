"""What was brought from another system, and what it still holds, from the report of `churn leave`."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from sovereign_ml.audit import AuditPolicy, Payload, void_because
from sovereign_ml.card.schema.facts import LeavingFacts
from sovereign_ml.errors import Misuse
from sovereign_ml.jurisdictions import Jurisdiction

REPORT = Path("governance/leaving/report.json")
"""Report of counts (as ranges) and hashes, kept in git for the record of processing."""
GROUPS = Path(".churn/leaving/groups.json")
"""Feature groups about people in the last dump, kept outside git: a name can say much."""
BROUGHT = ("runs", "registry", "cards", "features", "notebooks")
HOST = "sagemaker.amazonaws.com"
"""The host under which [[audit.waivers]] accept the other system until a day."""
_COMPONENTS = {
    "feature groups": "feature_store",
    "user profiles": "compute",
    "spaces": "compute",
    "domains": "compute",
    "notebook instances": "compute",
    "endpoints": "compute",
    "monitoring schedules": "compute",
}


def leaving_facts(root: Path) -> LeavingFacts:
    """Return the state of leaving, empty without a report. Raises Misuse for a broken report."""
    path = root / REPORT
    if not path.is_file():
        return LeavingFacts()
    try:
        report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        steps = report.get("steps", {})
        names = ("system", "state", "since", "last_dump_at", "deleted_at", "evidence_sha256")
        facts = {name: report[name] for name in names if name in report}
        # A rule of the card counts the days since then.
        date.fromisoformat(str(report.get("last_dump_at", date.max))[:10])
        facts["brought"] = [name for name in BROUGHT if name in steps]
        return LeavingFacts.model_validate(facts | {"remaining": report.get("remaining", ())})
    except (ValueError, TypeError, AttributeError):
        raise Misuse(f"{REPORT} is not the report of `churn leave`: restore it from git.") from None


def left_hosts(
    facts: LeavingFacts, policy: AuditPolicy, today: date, *, strict: bool
) -> list[dict[str, Any]]:
    """Return the rows of the card's hosting list for a system that still holds personal data.

    In a strict profile a row is allowed by [audit.allow], or by a waiver that has not ended.
    """
    waiver = policy.waiver(HOST, Payload.PERSONAL_DATA, today)
    allowed = (
        not strict
        or policy.allows(Jurisdiction.US_PARENT_EU_REGION, Payload.PERSONAL_DATA)
        or (waiver is not None and not void_because(waiver.until, today))
    )
    kinds = [row.kind for row in facts.remaining if row.personal_data]
    return [
        {
            "component": component,
            "hostname": HOST,
            "provider": "Amazon Web Services",
            "config": str(REPORT),
            "jurisdiction_class": Jurisdiction.US_PARENT_EU_REGION.value,
            "us_nexus": True,
            "carries": ["personal_data"],
            "allowed": allowed,
        }
        for component in sorted({_COMPONENTS.get(kind, "tracking") for kind in kinds})
    ]


def still_there(root: Path) -> list[str]:
    """Return sentences on what an erased person's data in the other system needs by hand.

    Nothing here reaches that system, so an erasure there is somebody's own act (GDPR Art. 17, 19).
    """
    facts = leaving_facts(root)
    kinds = [f"{row.count} {row.kind}" for row in facts.remaining if row.personal_data]
    if not kinds:
        return []
    sentences = [
        f"SageMaker: the dump of {facts.last_dump_at[:10]} still shows data of people "
        f"({', '.join(kinds)}). Nothing there was changed: erase the person there by hand, and "
        "after the last dump `churn leave finish` shows that nothing is left."
    ]
    path = root / GROUPS
    names = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    if any(row.kind == "feature groups" for row in facts.remaining):
        number = f"each of the {len(names)} feature groups in {GROUPS}" if names else "each group"
        sentences.append(
            f"By hand, for {number}: aws sagemaker-featurestore-runtime delete-record "
            '--feature-group-name "$GROUP" --record-identifier-value-as-string "$ID" '
            '--event-time "$(date -u +%Y-%m-%dT%H:%M:%SZ)" --deletion-mode HardDelete. '
            "The offline store keeps older rows of the person: delete them there too."
        )
    return sentences
