"""``card.cdx.json``: the card as a CycloneDX 1.6 ML-BOM, for software inventories.

The format has no words for data protection, so those facts are properties under one namespace of our own.
"""

from __future__ import annotations

import json
import uuid
from typing import Any

from sovereign_ml.card.questions import open_questions
from sovereign_ml.card.render import figures
from sovereign_ml.card.render.speech import said
from sovereign_ml.card.schema import Card
from sovereign_ml.card.schema.base import items_of
from sovereign_ml.card.schema.facts_data import Snapshot

NAMESPACE = "sovereign"
MODEL_REF = "model"


def render_cyclonedx(card: Card) -> str:
    """Return the card as CycloneDX 1.6 JSON. The same card gives the same bytes."""
    # A random serial number would differ each time, so it follows from the content.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, f"sovereign-model-card:{card.id}:{card.content_hash}")
    generated_at = card.facts.run.generated_at
    content = {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{serial}",
        # It would count the versions of one serial number, and each content has its own.
        "version": 1,
        "metadata": _filled(
            {
                "timestamp": generated_at.isoformat() if generated_at else None,
                "component": _model(card),
            }
        ),
        "components": [
            *(_dataset(snapshot, i) for i, snapshot in enumerate(card.facts.data.snapshots)),
            *_library(card),
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _model(card: Card) -> dict[str, Any]:
    model = card.facts.model
    sha256 = model.artifact_sha256
    return _filled(
        {
            "type": "machine-learning-model",
            "bom-ref": MODEL_REF,
            "name": model.name or card.id,
            "version": model.version,
            "description": said(card.answers.purpose.statement),
            "hashes": [{"alg": "SHA-256", "content": sha256}] if sha256 else None,
            "modelCard": _card(card),
        }
    )


def _card(card: Card) -> dict[str, Any]:
    model = card.facts.model
    refs = [{"ref": _ref(i)} for i in range(len(card.facts.data.snapshots))]
    parameters = {
        "approach": {"type": "supervised"},
        "task": "tabular-classification",
        "architectureFamily": "additive model"
        if card.facts.explanation.individual_method != "exact_shapley"
        else "gradient boosted trees",
        "modelArchitecture": model.algorithm,
        "datasets": refs,
        "inputs": [
            {"format": f"{f.name}: {f.dtype}, {f.unit or 'no unit'}"}
            for f in card.facts.data.features
        ],
        "outputs": [{"format": "probability between 0 and 1, with band and reasons"}],
    }
    return _filled(
        {
            "bom-ref": "model-card",
            "modelParameters": _filled(parameters),
            "quantitativeAnalysis": _filled(
                {"performanceMetrics": [*_metrics(card), *_slices(card)]}
            ),
            "considerations": _considerations(card),
            "properties": _properties(card),
        }
    )


def _metrics(card: Card) -> list[dict[str, Any]]:
    rows = []
    for name, estimate in card.facts.evaluation.metrics.items():
        # CycloneDX wants every figure as a text.
        row: dict[str, Any] = {"type": name, "value": f"{estimate.value:.6g}"}
        if estimate.low is not None and estimate.high is not None:
            bounds = {"lowerBound": f"{estimate.low:.6g}", "upperBound": f"{estimate.high:.6g}"}
            row["confidenceInterval"] = bounds
        rows.append(row)
    return rows


def _slices(card: Card) -> list[dict[str, Any]]:
    # A suppressed slice is too small to show.
    return [
        {"type": name, "value": f"{value:.6g}", "slice": part.slice}
        for part in card.facts.evaluation.slices
        for name, value in part.metrics.items()
        if value is not None and not part.suppressed
    ]


def _considerations(card: Card) -> dict[str, Any]:
    answers = card.answers
    harms = "; ".join(f"{gap.compared}: {gap.value}" for gap in figures.gaps(card))
    groups = ", ".join(dict.fromkeys(gap.group for gap in figures.gaps(card)))
    fairness = (
        [{"groupAtRisk": groups, "harms": f"Largest gaps measured: {harms}"}] if groups else []
    )
    risks = items_of(answers.dpia.risks)
    measures = said(answers.dpia.measures)
    return _filled(
        {
            "users": _texts(answers.purpose.subject_categories),
            "useCases": _texts(answers.purpose.specific_uses),
            "technicalLimitations": [
                *_texts(answers.evaluation.limitations),
                *(f"Not for: {use}" for use in _texts(answers.purpose.out_of_scope_uses)),
            ],
            "ethicalConsiderations": [
                {"name": risk, "mitigationStrategy": measures} for risk in risks
            ],
            "fairnessAssessments": fairness,
        }
    )


def _properties(card: Card) -> list[dict[str, str]]:
    decision, derived = card.derived.decision, card.derived
    named = {
        "card:schema_version": card.schema_version,
        "card:rulepack_version": card.rulepack_version,
        "card:law_snapshot": card.law_snapshot.isoformat(),
        "card:rule_digest": card.facts.library.rule_digest or "unknown",
        "card:status": card.status,
        "card:content_sha256": card.content_hash,
        "card:open_questions": str(len(open_questions(card))),
        "art22:applies": said(decision.art22_applies),
        "art22:why": decision.why,
        "art22:effective_automation": said(decision.effective_automation),
        "art22:effect": said(decision.effect),
        "gdpr:profiling": said(decision.profiling),
        "gdpr:direct_marketing": said(decision.direct_marketing),
        "gdpr:controller": said(card.answers.roles.controller),
        "dpia:required": said(derived.dpia.required),
        "ai_act:risk_class": said(derived.ai_act.risk_class),
        "model:stores_training_rows": said(card.facts.model_privacy.stores_training_rows),
        **{
            f"gdpr:lawful_basis:{phase}": basis
            for phase, basis in card.answers.lawful_basis.used().items()
        },
        **{
            f"model:hyperparameter:{name}": said(v)
            for name, v in card.facts.model.hyperparameters.items()
        },
    }
    rows = [*named.items()]
    # A component may have several hosts, and CycloneDX allows a name more than once.
    rows += [(f"hosting:{host.component}", host.hostname) for host in card.facts.hosting]
    return [{"name": f"{NAMESPACE}:{name}", "value": value} for name, value in rows]


def _library(card: Card) -> list[dict[str, Any]]:
    """Return the library that judged the card as a component.

    The list is empty where it was not recorded.
    """
    library = card.facts.library
    if library.version is None:
        return []
    sha256 = library.wheel_sha256
    state = {"name": f"{NAMESPACE}:library:state", "value": library.state or "unknown"}
    component = {
        "type": "library",
        "bom-ref": "library",
        "name": library.name,
        "version": library.version,
        "hashes": [{"alg": "SHA-256", "content": sha256}] if sha256 else None,
        "properties": [state],
    }
    return [_filled(component)]


def _dataset(snapshot: Snapshot, index: int) -> dict[str, Any]:
    about = (
        f"{snapshot.rows} rows of {snapshot.subjects} people, "
        f"{snapshot.from_date} to {snapshot.to_date}"
    )
    detail = {
        "type": "dataset",
        "name": f"{snapshot.role} snapshot",
        "classification": "personal data, pseudonymised",
        "sensitiveData": ["pseudonymised purchase history of customers"],
        "description": f"{about}; held on {snapshot.hostname}",
    }
    version = {
        "type": "data",
        "bom-ref": _ref(index),
        "name": f"{snapshot.role} snapshot",
        "version": snapshot.dvc_md5,
    }
    return {**version, "data": [detail]}


def _ref(index: int) -> str:
    return f"data-{index}"


def _texts(value: tuple[str, ...] | str) -> list[str]:
    return list(value) if isinstance(value, tuple) else []


def _filled(content: dict[str, Any]) -> dict[str, Any]:
    # The schema of CycloneDX allows no null.
    return {key: value for key, value in content.items() if value not in (None, [], {}, "")}
