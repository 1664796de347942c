"""Reasons against a promotion that are outside of the card.

They come from git, from the artifacts that the card describes, and from the bundle that would be
served.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from sovereign_ml.bundle.release_check import other_model
from sovereign_ml.bundle.sealed import read_bundle
from sovereign_ml.card.alias_history import RegistryError, settle
from sovereign_ml.card.build import CardError, build, read_answers
from sovereign_ml.card.schema.model_card import Card
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.monitoring import alarms
from sovereign_ml.monitoring.reporting.bucket_copy import MonitorCopy
from sovereign_ml.pipeline.card_builder import CardBuilder
from sovereign_ml.pipeline.card_facts.compare import (
    AGAIN,
    SHOWN,
    differences,
    other_answers,
    shortened,
)
from sovereign_ml.project import Project
from sovereign_ml.registry import bundle_store
from sovereign_ml.registry.aliases import MlflowRegistry
from sovereign_ml.storage import commit_lineage

__all__ = [
    "against_answers",
    "against_artifacts",
    "against_git",
    "against_registered",
    "evidence_against",
]


def evidence_against(
    card: Card, version: str, settings: Settings, project: Project
) -> tuple[str, ...]:
    """Return every reason outside of the card against promoting it as ``version``."""
    try:
        # Git, artifacts and bundle all ask the registry, so its failure is told once and first.
        registry = MlflowRegistry(settings.tracking)
        registry.production()
        # Git is asked from the commit of the version in production on, which a broken history hides.
        settle(registry, datetime.now(UTC))
    except RegistryError as error:
        return (f"The registry cannot be reached: {error}",)
    # Scheduled runs keep their alarms in the bucket.
    MonitorCopy(settings.project.name, settings.data_versions).sync()
    return (
        *against_profile(card, settings.profile_name),
        *against_git(card, settings),
        *against_answers(card, settings),
        *against_artifacts(card, settings, project),
        *against_registered(card, version, settings),
        *alarms.against_promotion(settings.root, version),
    )


def against_profile(card: Card, profile: str) -> Iterator[str]:
    """Yield a reason if the card was made in another profile."""
    card_profile = card.facts.run.profile
    # The profile ``local`` requires less.
    if card_profile != profile:
        yield f"The card was made in profile {card_profile}, this is profile {profile}. {AGAIN}"


def against_git(card: Card, settings: Settings) -> Iterator[str]:
    """Yield a reason if git does not name all authors, or names one who is not on the card.

    The authors are those of what is approved.
    """
    since = MlflowRegistry(settings.tracking).production_commit()
    try:
        changed = commit_lineage.uncommitted(settings.root)
        # A variable that names an author, as in an image, does not count here.
        written = commit_lineage.authors_by_git(settings.root, since)
    except GitError as error:
        yield (
            f"Git does not say who wrote this: {error}. Four eyes need a repository with its whole "
            "history that belongs to you: let git answer, and do it again."
        )
        return
    if changed:
        yield (
            f"Not committed: {', '.join(changed[:SHOWN])}. Nobody knows who wrote that: commit it, "
            "then run `churn card` and every step after it again."
        )
    if missing := sorted(set(written) - set(card.facts.model.authors)):
        yield f"The card does not name {', '.join(missing)}, who changed what it describes. {AGAIN}"


def against_answers(card: Card, settings: Settings) -> Iterator[str]:
    """Yield a reason if the card has other answers than ``model_card.toml``.

    Git knows the authors of that file only, so it names nobody for an answer that is not in it.
    """
    try:
        answers = read_answers(settings.root / "model_card.toml")
        committed = build(card.facts, answers, card_id=card.id)
    except CardError as error:
        yield str(error)
        return
    differing = other_answers(card, committed)
    if differing:
        more = f" and {len(differing) - SHOWN} more" if len(differing) > SHOWN else ""
        yield (
            f"The card has other answers than model_card.toml: {', '.join(differing[:SHOWN])}"
            f"{more}. {AGAIN}"
        )


def against_artifacts(card: Card, settings: Settings, project: Project) -> list[str]:
    """Return the differences between the artifacts here and the facts of the card."""
    paths = {name: settings.path(name) for name in ("model", "metrics", "features", "valid")}
    try:
        facts = CardBuilder(settings, project).gather(**paths)
    except (OSError, KeyError, ValueError, Misuse, Refused) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        return [
            f"The artifacts that the card describes cannot be read here ({message}): run the flow."
        ]
    return shortened(differences(card.facts, facts, later=True))


def against_registered(card: Card, version: str, settings: Settings) -> list[str]:
    """Return the differences between the registered bundle of ``version`` and the approved card."""
    with TemporaryDirectory() as folder:
        try:
            bundle = read_bundle(
                bundle_store.fetch(settings.tracking, version, Path(folder) / "bundle")
            )
        except (Refused, Misuse, OSError, ValueError) as error:
            return [str(error).splitlines()[0] if str(error) else type(error).__name__]
        lines = [f"Version {version}: {line}." for line in other_model(bundle, card)]
        if bundle.card.get("content_hash") != card.content_hash:
            lines.append(f"The bundle of version {version} holds another card. {AGAIN}")
        if bundle.rules != settings.rule_policy:
            lines.append(
                f"The bundle of version {version} has other numbers than [card.policy]. {AGAIN}"
            )
    return lines
