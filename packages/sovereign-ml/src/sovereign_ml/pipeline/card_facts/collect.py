"""Facts of the pipeline for the card, gathered from the artifacts of the earlier steps."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sovereign_ml.audit import hosting, pii_scan
from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.card.build import CardError
from sovereign_ml.card.rules.answered import national
from sovereign_ml.card.schema.facts import Facts, NationalLaw
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.model import served
from sovereign_ml.model.scorecard import Levels, Scorecard
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.reporting.campaign_facts import campaign_facts
from sovereign_ml.monitoring.reporting.stored_reports import card_facts
from sovereign_ml.pipeline.card_facts import left_system, model_privacy, training_data
from sovereign_ml.pipeline.project_audit import judged
from sovereign_ml.privacy import objections, retention_plan, suppression
from sovereign_ml.project import Feature, Project
from sovereign_ml.registry.aliases import MlflowRegistry
from sovereign_ml.storage import commit_lineage
from sovereign_ml.storage.artifacts import read_json
from sovereign_ml.supply_chain.vendored_library import project_identity

LIBRARIES = (
    "scikit-learn",
    "numpy",
    "pandas",
    "duckdb",
    "feast",
    "mlflow",
    "great-expectations",
    "dvc",
)
NO_OUTCOME = "no outcome of a decision is on record yet"

log = logging.getLogger("sovereign_ml")

LAW = Path("governance/law.toml")
"""National law and lists of authorities added by the team, in the form of national.toml."""
IMPORTED = Path("governance/imported.json")
"""Written by `churn card import`: source, hash and warnings of a card from elsewhere."""


def gather(
    model: Path, metrics: Path, features: Path, valid: Path, settings: Settings, project: Project
) -> Facts:
    """Return all facts of one run.

    Counts of people are bucketed, so that the card may be shown to anybody.
    """
    import pandas as pd

    card = served.read(model / "model.json")
    figures = read_json(metrics / "metrics.json")
    training = pd.read_parquet(features / "training.parquet")
    people = pd.read_parquet(valid / "customers.parquet")
    checked = read_json(valid / "summary.json")
    live = objections.facts(settings.log_location)
    monitored = card_facts(settings.root)
    library = project_identity(settings.root)
    left = left_system.leaving_facts(settings.root)
    strict = settings.profile_name != "local"
    for warning in library.warnings(settings.profile_name):
        log.warning(warning)
    return Facts.model_validate(
        {
            "run": _run(model, settings.root, settings.profile_name),
            "project": {
                "contact": settings.project.contact,
                "dpo_contact": settings.project.dpo_contact,
            },
            "library": {
                "version": library.version,
                "wheel_sha256": library.wheel_sha256,
                "rule_digest": library.rule_digest,
                "state": library.state,
            },
            "model": _model(model, card, settings),
            "decision": _decision(settings, live["decision"]),
            "review": live["review"],
            "previous": MlflowRegistry(settings.tracking).previous_card(),
            "data": training_data.data(
                card,
                figures,
                training,
                features,
                checked,
                config=settings.features,
                kind=settings.label.kind,
                max_association=settings.card.policy.max_association,
                project=project,
            )
            | training_data.minors(valid / "groups.parquet", checked),
            "consent": training_data.consent(training, features, people, checked),
            "retention": _retention(checked, settings),
            "model_privacy": model_privacy.privacy(card, figures, training),
            "explanation": _explanation(card, figures, project.features),
            "evaluation": _evaluation(figures) | {"monitoring": monitored["figures"]},
            "monitoring": monitored["facts"],
            "campaign": campaign_facts(
                settings.log_location,
                lambda: PastDays(project, valid, settings.features, settings.label.kind),
            ),
            # The environment of one machine is no fact about the model.
            "hosting": [
                *hosting(judged(settings, {}).findings),
                *left_system.left_hosts(
                    left, settings.audit, datetime.now(UTC).date(), strict=strict
                ),
            ],
            "leaving": left,
            "imported": provenance(settings.root),
            "national_law": _national_law(settings.root),
        }
    )


def provenance(root: Path) -> dict[str, Any]:
    """Return the origin of a card that `churn card import` read, empty without such a card."""
    return read_json(root / IMPORTED) if (root / IMPORTED).is_file() else {}


def _national_law(root: Path) -> tuple[NationalLaw, ...]:
    """Return the team's additions to the library's table of national law.

    Raises Misuse for an entry that cannot be read.
    """
    if not (root / LAW).is_file():
        return ()
    try:
        return national.read_entries(root / LAW)
    except CardError as error:
        raise Misuse(str(error)) from None


def _run(model: Path, root: Path, profile: str) -> dict[str, Any]:
    return {
        "generated_at": datetime.now(UTC).replace(microsecond=0),
        "git_commit": commit_lineage.git_commit(root),
        "pipeline_run_id": read_json(model / "run.json")["run_id"],
        "profile": profile,
    }


def _model(folder: Path, card: Scorecard, settings: Settings) -> dict[str, Any]:
    run, path = read_json(folder / "run.json"), folder / "model.json"
    trained = read_json(folder / "summary.json")
    written = commit_lineage.authors(
        settings.root, MlflowRegistry(settings.tracking).production_commit()
    )
    return {
        "name": settings.project.name,
        # The registry gives the number at registration, after the card.
        "version": "candidate",
        "algorithm": trained["algorithm"],
        "framework": "scikit-learn",
        "framework_version": version("scikit-learn"),
        "library_versions": {name: version(name) for name in LIBRARIES},
        "artifact_uri": f"runs:/{run['run_id']}/model.json",
        "artifact_sha256": sha256_of(path),
        "size_bytes": path.stat().st_size,
        "hyperparameters": {
            "C": trained["c"],
            "knots": settings.train.knots,
            "max_categories": settings.train.max_categories,
            "monotone": settings.train.monotone,
            "features": len(card.features),
        },
        "random_seed": settings.train.seed,
        "training_code_commit": run["git_commit"],
        "dependency_lock_sha256": run["lock_sha256"],
        "authors": written.names,
        "authors_unknown_because": written.unknown_because,
    }


def _decision(settings: Settings, live: dict[str, Any]) -> dict[str, Any]:
    score, configured = settings.score, settings.decision.outcomes
    outcomes = [{"name": name, **each.model_dump()} for name, each in configured.items()]
    bands = [{"name": name, "below": limit} for name, limit in score.bands.items()]
    ended = live.pop("outcomes_on_record", 0)
    # Ranges, so that the card may be shown to anybody.
    counted = (
        {"outcomes_on_record": pii_scan.bucket(ended)[0]}
        if ended
        else {"agreement_not_measured_because": NO_OUTCOME}
    )
    return {
        "output_kind": "score",
        "bands": bands,
        "action_band": score.action_band,
        "max_feature_age_days": score.oldest_features(settings.features.horizon_days),
        "outcomes": outcomes,
        **live,
        **counted,
    }


def _retention(checked: dict[str, Any], settings: Settings) -> dict[str, Any]:
    run = retention_plan.last_run(settings.root / retention_plan.LAST_RUN)
    names = retention_plan.CARD_NAMES
    overdue = {names[k]: count for k, count in run.overdue.items() if k in names} if run else {}
    objects = [
        {
            "object": name,
            "period": getattr(settings.retention, key).period,
            # A cache of versions keeps old content until it is purged.
            "versions_exist": name == "dvc_cache",
            "last_purge_at": run.at if run else None,
            "overdue_objects": overdue.get(name, 0),
        }
        for key, name in names.items()
    ]
    return {
        "objects": objects,
        "tombstones_applied": suppression.count(settings.suppression),
        "erased_subjects_still_in_snapshot": checked["data"]["erased_found"],
    }


def _explanation(
    card: Scorecard, figures: dict[str, Any], features: Sequence[Feature]
) -> dict[str, Any]:
    worth = sorted(figures["features"], key=lambda entry: (-entry["importance"], entry["name"]))
    words = {f.name: f for f in features}
    directions = {
        part.name: direction
        for part in card.numeric
        if (direction := words[part.name].expected) and card.keeps_to(part.name, direction)
    }
    return {
        "main_factors": [words[e["name"]].label for e in worth[:5] if e["importance"]],
        "curves": [
            {
                "name": part.name,
                "label": words[part.name].label,
                "unit": words[part.name].unit,
                "missing_log_odds": part.missing_log_odds,
                "expected": directions.get(part.name),
                **(
                    {"categories": part.log_odds}
                    if isinstance(part, Levels)
                    else {
                        "transform": part.transform,
                        "knots": part.knots,
                        "log_odds": part.log_odds,
                    }
                ),
            }
            for part in card.parts
        ],
        "intercept": card.intercept,
        "individual_method": "additive" if card.additive else "exact_shapley",
        "individual_returns": [
            "inputs_used",
            "influence_of_each",
            "score",
            "group",
            "counterfactual",
            "consequence",
        ],
        "counterfactual_coverage": figures["explanations"]["counterfactual_coverage"],
        "fidelity": figures["explanations"]["fidelity"],
    }


def _evaluation(measured: dict[str, Any]) -> dict[str, Any]:
    figures = ("roc_auc", "brier")
    benchmark = {
        k: measured["benchmark"][k] for k in (*figures, *(f"{name}_difference" for name in figures))
    }
    slices = [
        {"slice": s["slice"], "n": _shown(s), "suppressed": s["suppressed"], "metrics": _rest(s)}
        for s in measured["slices"]
    ]
    return {
        "test_cutoff": measured["test_cutoff"],
        "customers": measured["customers"],
        "base_rate": measured["base_rate"],
        "metrics": measured["model"],
        "baselines": measured["baselines"],
        "benchmark_name": measured["benchmark"]["name"],
        "benchmark": benchmark,
        "constraints": measured.get("constraints", {}),
        "at_threshold": measured["at_threshold"],
        "at_budget": {k: v for k, v in measured["lift"].items() if isinstance(v, float)},
        "slices": slices,
        "calibration_bins": measured["calibration_bins"],
        "fairness": measured["fairness"],
        "fairness_not_measured_because": ""
        if measured["fairness"]
        else "no group columns in the customers table",
        "robustness": [
            {
                "test": f"ROC AUC at {r['cutoff']}, fitted on earlier cut-offs only",
                "result": f"{r['roc_auc']:.3f}",
            }
            for r in measured["rolling"]
        ],
    }


def _shown(entry: dict[str, Any]) -> int:
    """Return the size of a group, or the lower end of its range if it is too small to show."""
    return pii_scan.bucket(entry["n"])[1] if entry["suppressed"] else int(entry["n"])


def _rest(entry: dict[str, Any]) -> dict[str, Any]:
    return {k: v for k, v in entry.items() if k not in ("slice", "n", "suppressed")}
