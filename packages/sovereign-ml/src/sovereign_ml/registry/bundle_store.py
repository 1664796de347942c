"""Sealed bundles in MLflow's registry, stored with their version, fetched by number or alias."""

from __future__ import annotations

import shutil
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.bundle.sealed import MANIFEST, read_bundle, read_manifest, seal_again
from sovereign_ml.card.alias_history import ALIAS, RegistryError, broken_history
from sovereign_ml.card.render.outputs import FILES
from sovereign_ml.config.connections import Tracking
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Refused
from sovereign_ml.registry import mlflow


def keep(tracking: Tracking, version: str, bundle: Path) -> None:
    """Store the sealed ``bundle`` in the run of its registry version."""
    name, api = tracking.project, mlflow.client(tracking)
    with mlflow.reached(tracking):
        run = api.get_model_version(name, version).run_id
        for file in (*read_manifest(bundle / MANIFEST).files, MANIFEST):
            api.log_artifact(run, str(bundle / file), _place(version))
        # Last, so that a version with a seal has all files of its bundle.
        api.set_model_version_tag(name, version, mlflow.SEAL, _hash(bundle))


def fetch(tracking: Tracking, version: str, folder: Path) -> Path:
    """Download the bundle of a version (number or alias) into ``folder``, and return ``folder``.

    Raises Refused when the registry has no such version, or its bundle was changed. Raises Misuse
    when the registry does not answer.
    """
    ENVIRONMENT.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    api = mlflow.client(tracking)
    with mlflow.reached(tracking), TemporaryDirectory() as side:
        entry = _version(api, tracking.project, version)
        # The alias proves nothing by itself: anybody with write access can move it in MLflow.
        if version == ALIAS:
            _as_promoted(tracking)
        if mlflow.SEAL not in entry.tags:
            raise Refused(
                f"Version {entry.version} has no bundle in the registry: "
                "run `churn register` again."
            )
        # A download into an existing folder would leave files of another version beside it.
        place = Path(api.download_artifacts(entry.run_id, _place(entry.version), side))
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(place, folder)
    try:
        same = _hash(folder) == entry.tags[mlflow.SEAL] and read_bundle(
            folder
        ).manifest.version == str(entry.version)
    except ValueError as error:
        raise Refused(f"Version {entry.version}: {error}") from None
    if not same:
        raise Refused(
            f"Version {entry.version}: its bundle was changed after registration: register again."
        )
    return folder


def sign(tracking: Tracking, version: str, card: Path) -> None:
    """Put the signed card of the folder ``card`` into the registry's bundle, and seal it again.

    An approval is not part of the content that it approves: model, contract and policy stay.
    """
    with TemporaryDirectory() as side:
        bundle = fetch(tracking, version, Path(side) / "bundle")
        sealed = read_manifest(bundle / MANIFEST)
        for name in FILES:
            shutil.copy(card / name, bundle / name)
        seal_again(bundle, sealed)
        keep(tracking, version, bundle)


def _as_promoted(tracking: Tracking) -> None:
    from sovereign_ml.registry.aliases import MlflowRegistry

    registry = MlflowRegistry(tracking)
    try:
        broken = broken_history(registry) if registry.production() is not None else []
    except RegistryError as error:
        raise Refused(f"The history of promotions cannot be read: {error}") from None
    if broken:
        raise Refused(" ".join(broken))


def _place(version: str) -> str:
    return f"bundle/{version}"


def _hash(bundle: Path) -> str:
    return sha256_of(bundle / MANIFEST)


def _version(api: Any, name: str, version: str) -> Any:
    """Return the entry of a number or an alias, or raise Refused with the versions that exist."""
    from mlflow.exceptions import MlflowException

    try:
        if version.isdigit():
            return api.get_model_version(name, version)
        return api.get_model_version_by_alias(name, version)
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        entries = mlflow.versions(api, name)
        numbers = ", ".join(map(str, sorted(int(item.version) for item in entries)))
        available = f"versions {numbers}" if numbers else "none: run `churn register` first"
        raise Refused(
            f"The registry has no version '{version}' of {name}. It has {available}. "
            "Name one with --version, or move the alias with `churn promote`."
        ) from None
