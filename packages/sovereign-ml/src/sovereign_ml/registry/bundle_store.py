"""Sealed bundles in MLflow's registry: kept with the version they belong to, fetched by number or alias."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.bundle.sealed import MANIFEST, read_bundle, read_manifest, seal_again
from sovereign_ml.card.promotion import ALIAS, RegistryError, broken_history
from sovereign_ml.card.render.outputs import FILES
from sovereign_ml.config.connections import Tracking
from sovereign_ml.config.settings import ENVIRONMENT
from sovereign_ml.errors import Refused
from sovereign_ml.registry import mlflow


def keep(tracking: Tracking, version: str, bundle: Path) -> None:
    """Put the sealed ``bundle`` into the run of its registry version, so that it can be deployed from anywhere."""
    name, api = tracking.project, mlflow.client(tracking)
    with mlflow.reached(tracking):
        run = api.get_model_version(name, version).run_id
        for file in (*read_manifest(bundle / MANIFEST).files, MANIFEST):
            api.log_artifact(run, str(bundle / file), _place(version))
        api.set_model_version_tag(name, version, mlflow.SEAL, _hash(bundle))


def fetch(tracking: Tracking, wanted: str, folder: Path) -> Path:
    """Download the bundle of version ``wanted`` (a number or an alias) into ``folder``, and return that.

    Raises Refused when the registry has no such version or its bundle is not the one that was kept, Misuse when the
    registry does not answer.
    """
    ENVIRONMENT.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    api = mlflow.client(tracking)
    with mlflow.reached(tracking), TemporaryDirectory() as side:
        with _known(api, tracking, wanted):
            found = _version(api, tracking.project, wanted)
        if wanted == ALIAS:
            _as_promoted(tracking)
        if mlflow.SEAL not in found.tags:
            raise Refused(
                f"Version {found.version} has no bundle in the registry: run `churn register` again."
            )
        place = Path(api.download_artifacts(found.run_id, _place(found.version), side))
        if folder.exists():
            shutil.rmtree(folder)
        shutil.copytree(place, folder)
    try:
        same = _hash(folder) == found.tags[mlflow.SEAL] and read_bundle(
            folder
        ).manifest.version == str(found.version)
    except ValueError as error:
        raise Refused(f"Version {found.version}: {error}") from None
    if not same:
        raise Refused(
            f"Version {found.version}: its bundle was changed after it was registered; register again."
        )
    return folder


def sign(tracking: Tracking, version: str, card: Path) -> None:
    """Put the signed card of the folder ``card`` into the registry's bundle, and seal it again.

    An approval is no part of the content that it approves: model, contract and policy stay what was approved.
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
        raise Refused(f"Who promoted this version is not known: {error}") from None
    if broken:
        raise Refused(" ".join(broken))


def _place(version: str) -> str:
    return f"bundle/{version}"


def _hash(bundle: Path) -> str:
    return sha256_of(bundle / MANIFEST)


def _version(api: Any, name: str, wanted: str) -> Any:
    return (
        api.get_model_version(name, wanted)
        if wanted.isdigit()
        else api.get_model_version_by_alias(name, wanted)
    )


@contextmanager
def _known(api: Any, tracking: Tracking, wanted: str) -> Iterator[None]:
    """What there is, when something is asked for that there is not."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            raise
        name = tracking.project
        versions = sorted(int(one.version) for one in api.search_model_versions(f"name = '{name}'"))
        there = (
            f"versions {', '.join(map(str, versions))}"
            if versions
            else "none: run `churn register` first"
        )
        raise Refused(
            f"The registry has no version '{wanted}' of {name}; there are {there}. "
            "Name one with --version, or move the alias with `churn promote`."
        ) from None
