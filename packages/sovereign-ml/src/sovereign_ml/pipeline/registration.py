"""Registration of a model after the gate and the rules: bundle, registry version and seal."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sovereign_ml.bundle.library_identity import LibraryIdentity
from sovereign_ml.bundle.sealed import MANIFEST, read_bundle, rules_json, seal_bundle
from sovereign_ml.card.promotion import other_rules
from sovereign_ml.card.render.outputs import FILES
from sovereign_ml.card.rules import Finding, blocks, check
from sovereign_ml.card.schema.facts import Facts
from sovereign_ml.card.schema.model_card import Card, read
from sovereign_ml.config.connections import Tracking
from sovereign_ml.config.tables import (
    DecisionSettings,
    EvaluateSettings,
    FeatureSettings,
    LabelSettings,
    RegisterSettings,
    ScoreSettings,
)
from sovereign_ml.decisions.rule_policy import RulePolicy
from sovereign_ml.errors import Refused
from sovereign_ml.evaluation import quality_gate
from sovereign_ml.evaluation.fidelity import PROBES, check_probes, misfits
from sovereign_ml.model import served
from sovereign_ml.monitoring.past_days import PastDays
from sovereign_ml.monitoring.population import REFERENCE
from sovereign_ml.monitoring.reference import make_reference
from sovereign_ml.pipeline.card_facts.compare import differences, shortened
from sovereign_ml.pipeline.card_facts.own_rules import load_own_rules
from sovereign_ml.project import Project
from sovereign_ml.registry import bundle_files, bundle_store, mlflow
from sovereign_ml.supply_chain.vendored_library import project_identity

__all__ = ["Registration"]


@dataclass(frozen=True)
class Registration:
    """Registration of models of ``project`` under the limits of config.toml and the card's rules."""

    project: Project
    limits: RegisterSettings
    score: ScoreSettings
    decision: DecisionSettings
    windows: FeatureSettings
    label: LabelSettings
    evaluate: EvaluateSettings
    early_days: tuple[int, ...]
    rules: RulePolicy
    contact: str
    tracking: Tracking

    def read_card(self, folder: Path) -> Card:
        """Return the card in the artifact ``folder`` of step 6.

        Raises Refused, before MLflow is asked for anything, where the library may not judge it.
        """
        self._library()
        return read(folder / "card.json")

    def check(self, figures: dict[str, Any], card: Card, facts: Facts) -> list[Finding]:
        """Return the warnings of the rules. Raises Refused with every reason.

        Reasons come from the quality gate and the rules. Further ones are a library that is not as
        released or has other rules than those that judged the card, and a card whose facts differ
        from the facts ``facts`` in the artifacts.
        """
        library = self._library()
        today, own = datetime.now(UTC).date(), load_own_rules(self.project)
        findings = check(card, self.rules, today, own=own)
        reasons = other_rules(card, library.rule_digest)
        reasons += quality_gate.reasons_against(figures, self.limits)
        reasons += [f"{f.rule} ({f.article}): {f.found} {f.do}" for f in blocks(findings)]
        reasons += shortened(differences(card.facts, facts))
        if reasons:
            raise Refused("Not registered:\n" + "\n".join(f"  - {reason}" for reason in reasons))
        return findings

    def _library(self) -> LibraryIdentity:
        """Return the installed library. Raises Refused for one that may not judge in this profile."""
        library = project_identity(self.tracking.root)
        # A changed library may judge as it likes, so its rules are not even asked.
        if objections := library.objections(self.tracking.profile):
            raise Refused(f"Not registered: {' '.join(objections)}")
        return library

    def collect(self, folder: Path, model: Path, card_folder: Path, card: Card) -> None:
        """Put model, card, feature contract, decision policy and rule limits into ``folder``.

        Raises Refused, before anything is registered, where the service could not read these files
        as one bundle, or where their model is not the one that was fitted.
        """
        shutil.copy(model / "model.json", folder / "model.json")
        for name in FILES:
            shutil.copy(card_folder / name, folder / name)
        policy = bundle_files.policy(
            self.score,
            self.project.target,
            significant_effect=card.derived.decision.effect in ("similarly_significant", "legal"),
            human_review=card.answers.human_review.stage == "before_effect",
            reviewer_contact=self.contact,
            horizon_days=self.windows.horizon_days,
            outcomes=self.decision.outcomes,
        )
        for name, content in (
            ("contract.json", self.project.feature_contract()),
            ("policy.json", policy),
        ):
            (folder / name).write_text(content.model_dump_json(indent=2) + "\n", encoding="utf-8")
        (folder / "rules.json").write_text(rules_json(self.rules), encoding="utf-8")
        self._read_back(folder, model / PROBES)

    def write_reference(self, folder: Path, features: Path, valid: Path) -> None:
        """Put aggregates of the newest labelled cut-off into ``folder`` as the monitor's reference.

        It is the cut-off whose figures the card promises. The training rows are older, so they
        would differ from the people of today by the calendar alone.
        """
        model = served.read(folder / "model.json")
        past = PastDays(self.project, valid, self.windows, self.label.kind)
        reference = make_reference(
            model, features, valid, past, self.project, self.evaluate, self.early_days
        )
        (folder / REFERENCE).write_text(reference.model_dump_json() + "\n", encoding="utf-8")

    def _read_back(self, folder: Path, probes: Path) -> None:
        """Seal ``folder`` for a moment and read it as the service does.

        Raises Refused in one line.
        """
        source = dict.fromkeys(("created_at", "git_commit", "data_version"), "")
        library = dict.fromkeys(("library_version", "library_wheel_sha256", "rule_digest"), "")
        name, profile = self.tracking.project, self.tracking.profile
        try:
            seal_bundle(folder, name=name, version="", profile=profile, **source, **library)
            bundle = read_bundle(folder)
        except ValueError as error:
            raise Refused(
                f"Not registered: the service could not read this bundle. {error}"
            ) from None
        finally:
            # This seal has no version yet: :meth:`register` makes the real one.
            (folder / MANIFEST).unlink(missing_ok=True)
        if differences := misfits(bundle.model, bundle.contract):
            raise Refused(
                f"Not registered: model.json and contract.json do not fit. {' '.join(differences)}"
            )
        # JSON may have lost digits or a category, so the model that was read is scored again.
        check_probes(bundle.model, probes)

    def register(
        self, folder: Path, run: dict[str, Any], figures: dict[str, Any], card: Card, plots: Path
    ) -> str:
        """Make a registry version of the bundle in ``folder`` and return its number.

        The version has the alias ``candidate``. ``run`` is what step 4 noted of its MLflow run.
        """
        gaps = {f"gap_{g['group']}_{g['metric']}": g["value"] for g in figures["fairness"]}
        values = {name: entry["value"] for name, entry in figures["model"].items()}
        library = card.facts.library
        # From the card and not from this machine: the card names the library that judged it.
        judged_by = LibraryIdentity(
            library.version or "unknown",
            library.wheel_sha256,
            library.rule_digest or "unknown",
            library.state or "development",
        ).tags()
        version = mlflow.ModelVersion(
            run_id=run["run_id"],
            card=folder,
            files=FILES,
            plots=plots,
            metrics=values | gaps,
            tags={
                "card_hash": card.content_hash,
                "data_version": run["data_version"],
                "git_commit": run["git_commit"],
                **judged_by,
            },
        )
        # The same run with the same card finds its version again and seals the same bundle, to the
        # byte.
        number, created_at = mlflow.register(self.tracking, version)
        seal_bundle(
            folder,
            name=self.tracking.project,
            version=number,
            profile=self.tracking.profile,
            created_at=created_at.strftime("%Y-%m-%dT%H:%M:%SZ"),
            git_commit=run["git_commit"],
            data_version=run["data_version"],
            **judged_by,
        )
        bundle_store.keep(self.tracking, number, folder)
        return number
