"""Step 7, register: the quality gate and the rules; then the bundle and a registry version with alias candidate."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.bundle.sealed import rules_json, seal_bundle
from sovereign_ml.card.render.files import FILES
from sovereign_ml.card.rules import Finding, blocks, check
from sovereign_ml.card.schema.card import Card, read
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Refused
from sovereign_ml.evaluation import quality_gate
from sovereign_ml.registry import bundle_files, bundle_store, mlflow
from sovereign_ml.storage.artifacts import need, read_json, summarise, writing


def register(model: Path, metrics: Path, card: Path, output: Path, *, settings: Settings) -> None:
    """Write the sealed bundle and register it. Raises Refused with every reason of the gate and the rules.

    A repeated run of the same model and card finds its version again and seals the same bundle, to the byte.
    """
    for folder, verb in ((model, "train"), (metrics, "evaluate"), (card, "card")):
        need(folder, verb)
    found, document = read_json(metrics / "metrics.json"), read(card / "card.json")
    findings = check(document, settings.rule_policy, datetime.now(UTC).date())
    _refuse(quality_gate.reasons_against(found, settings.register_), blocks(findings))
    run = read_json(model / "run.json")
    with writing(output) as folder:
        _collect(folder, model, card, document, settings)
        version, made = mlflow.register(
            settings, _version(run, found, document, card, metrics / "plots")
        )
        seal_bundle(
            folder,
            name=settings.project.name,
            version=version,
            profile=settings.profile_name,
            created_at=made.strftime("%Y-%m-%dT%H:%M:%SZ"),
            git_commit=run["git_commit"],
            data_version=run["data_version"],
        )
        bundle_store.keep(settings, version, folder)
        summarise(
            folder,
            rows_in=len(findings),
            rows_out=1,
            headline=f"{settings.project.name} version {version}, alias candidate; "
            f"{len(findings)} warnings of the rules",
            version=version,
        )


def _refuse(quality: list[str], blocked: list[Finding]) -> None:
    reasons = [*quality, *(f"{f.rule} ({f.article}): {f.found} {f.do}" for f in blocked)]
    if reasons:
        raise Refused("Not registered:\n" + "\n".join(f"  - {reason}" for reason in reasons))


def _collect(folder: Path, model: Path, card: Path, document: Card, settings: Settings) -> None:
    shutil.copy(model / "model.json", folder / "model.json")
    for name in FILES:
        shutil.copy(card / name, folder / name)
    decision, contact = document.derived.decision, settings.project.contact
    policy = bundle_files.policy(
        settings,
        significant_effect=decision.effect in ("similarly_significant", "legal"),
        human_review=document.answers.human_review.stage == "before_effect",
        reviewer_contact=contact,
    )
    for name, content in (("contract.json", bundle_files.contract()), ("policy.json", policy)):
        (folder / name).write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
    (folder / "rules.json").write_text(rules_json(settings.rule_policy), encoding="utf-8")


def _version(
    run: dict[str, Any], found: dict[str, Any], document: Card, card: Path, plots: Path
) -> mlflow.Version:
    figures = {name: entry["value"] for name, entry in found["model"].items()}
    gaps = {f"gap_{g['group']}_{g['metric']}": g["value"] for g in found["fairness"]}
    tags = {
        "card_hash": document.content_hash,
        "data_version": run["data_version"],
        "git_commit": run["git_commit"],
    }
    return mlflow.Version(
        run_id=run["run_id"], card=card, plots=plots, metrics=figures | gaps, tags=tags
    )
