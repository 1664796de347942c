"""Import of a dump's model registry and cards. SageMaker's status is text and approves nothing."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from sovereign_ml.card import importers
from sovereign_ml.config.connections import Tracking
from sovereign_ml.data_subjects.stores import mlflow_runs
from sovereign_ml.data_subjects.stores.mlflow_runs import ARN_TAG, CREATED_TAG
from sovereign_ml.leaving.dump import Dump, Record, ms
from sovereign_ml.leaving.minimise import Minimiser, arn_mark
from sovereign_ml.leaving.runs import STATE_TAG, Brought, clear_halves
from sovereign_ml.registry import mlflow
from sovereign_ml.registry.mlflow import ImportedRun

# A pickle can run any code when it is loaded, so the record marks such archives.
_PICKLED = re.compile(r"\.(?:pkl|pickle|joblib)\b")


def packages_of(dump: Dump) -> list[Record]:
    """Return every version of every package group, oldest first, from search and descriptions."""
    return sorted(
        dump.packages().values(),
        key=lambda row: (
            str(row.get("ModelPackageGroupName", "")),
            int(row.get("ModelPackageVersion", 0)),
            str(row["ModelPackageArn"]),
        ),
    )


def bring_packages(dump: Dump, tracking: Tracking, minimiser: Minimiser) -> Brought:
    """Register every new model package under ``<project>.sagemaker.<group>``.

    A version has its own run, whose file ``sagemaker.json`` lists the archives. Archives are never
    unpacked. No version gets an alias, so promotion cannot reach it.
    """
    result = Brought(repaired=clear_halves(tracking))
    runs = {r.data.tags[ARN_TAG]: r.info.run_id for r in mlflow_runs.brought_runs(tracking)}
    present = {version.tags[ARN_TAG] for version in mlflow_runs.brought_versions(tracking)}
    for row in packages_of(dump):
        mark = arn_mark(row["ModelPackageArn"])
        if mark in present:
            result.present += 1
            continue
        if row.get("ModelPackageStatus", "Completed") != "Completed":
            result.skipped[f"package status {row['ModelPackageStatus']}"] += 1
            continue
        group = _group_of(row)
        run = _package_run(row, group, tracking.project, minimiser)
        # A complete run without a version comes from an interrupted call, so it is used.
        run_id = runs.get(run.tags[ARN_TAG]) or mlflow.bring_run(tracking, run, STATE_TAG)
        model = f"{tracking.project}.sagemaker.{_model_name(minimiser.title(group, 'model'))}"
        tags = {k: v for k, v in run.tags.items() if k != "sagemaker.kind"} | {ARN_TAG: mark}
        mlflow.bring_version(tracking, model, run_id, tags)
        result.imported += 1
    return result


def _group_of(row: Mapping[str, Any]) -> str:
    return str(row.get("ModelPackageGroupName") or row.get("ModelPackageName") or "ungrouped")


def _package_run(
    row: Mapping[str, Any], group: str, project: str, minimiser: Minimiser
) -> ImportedRun:
    # MLflow would replace a 0 by the time of the import.
    created = ms(row.get("CreationTime")) or 1
    containers = row.get("InferenceSpecification", {}).get("Containers", ())
    archives = [
        {
            "archive": minimiser.place(place),
            "etag": container.get("ModelDataETag", ""),
            "image_digest": container.get("ImageDigest", ""),
            "pickle": bool(_PICKLED.search(place)),
        }
        for container in containers
        if (place := _archive_of(container))
    ]
    stage, approval = row.get("ModelLifeCycle", {}), row.get("ModelApprovalStatus", "none")
    tags = {
        "sagemaker.version": str(row.get("ModelPackageVersion", "")),
        "sagemaker.approval": f"{approval} in SageMaker; not an approval here",
        "sagemaker.registration_type": str(row.get("ModelPackageRegistrationType", "")),
        "sagemaker.lifecycle": " ".join(
            str(stage[key]) for key in sorted(stage) if key != "StageDescription"
        ),
        CREATED_TAG: str(created),
    }
    properties = {
        name: new
        for name, value in row.get("CustomerMetadataProperties", {}).items()
        if (new := minimiser.value(name, value)) is not None
    }
    # Names of employees and free text are counted, but never imported.
    for name in ("CreatedBy", "LastModifiedBy"):
        minimiser.left_out["employee"] += bool(row.get(name))
    minimiser.left_out["free text"] += sum(
        name in row for name in ("ModelPackageDescription", "ApprovalDescription")
    )
    return ImportedRun(
        experiment=f"{project}/sagemaker-registry",
        name=f"{_model_name(minimiser.title(group, 'model'))} {tags['sagemaker.version']}".strip(),
        start=created,
        end=created,
        status="FINISHED",
        params={},
        points=(),
        tags={
            **{name: value for name, value in tags.items() if value},
            # The version has the ARN's own mark, so the run needs another one.
            ARN_TAG: arn_mark(f"run of {row['ModelPackageArn']}"),
            "sagemaker.kind": "ModelPackage",
        },
        record={"archives": archives, "properties": properties},
    )


def _archive_of(container: Mapping[str, Any]) -> str:
    """Return the address of a container's model, "" without any."""
    # A model that is not packed is a prefix, and has no address of an archive.
    source = container.get("ModelDataSource", {}).get("S3DataSource", {})
    return str(container.get("ModelDataUrl") or source.get("S3Uri", ""))


def _model_name(group: str) -> str:
    """Return the name without characters that MLflow refuses, such as ``/`` and ``:``."""
    return re.sub(r"[^\w.-]", "_", group)


def bring_cards(dump: Dump, output: Path) -> tuple[list[tuple[str, str]], list[str]]:
    """Write suggestions for ``model_card.toml`` from each version of each card and package.

    Return file and status of each, and a line for each card that was refused.
    """
    written: list[tuple[str, str]] = []
    refused: list[str] = []
    output.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory() as folder:
        for name, answer in _cards(dump):
            source = Path(folder) / "card.json"
            source.write_text(json.dumps(answer), encoding="utf-8")
            try:
                imported = importers.import_card(source)
            except ValueError as error:
                refused.append(f"{name}: {str(error).removeprefix(f'{source}: ')}")
                continue
            (output / f"{name}.toml").write_text(imported.toml(), encoding="utf-8")
            written.append((f"{name}.toml", imported.provenance.foreign_status))
    return written, refused


def _cards(dump: Dump) -> Iterator[tuple[str, dict[str, Any]]]:
    described = set()
    for answer in dump.below("cards").values():
        name = f"{_model_name(answer['ModelCardName'])}-v{answer['ModelCardVersion']}"
        described.add(name)
        yield name, answer
    for row in dump.found("ModelCard"):
        name = f"{_model_name(row['ModelCardName'])}-v{row.get('ModelCardVersion', 1)}"
        if name not in described:
            yield name, row
    for row in packages_of(dump):
        if row.get("ModelCard"):
            version = row.get("ModelPackageVersion", 1)
            approval = {n: row[n] for n in ("ModelApprovalStatus",) if n in row}
            card = {**row["ModelCard"], **approval}
            yield f"{_model_name(_group_of(row))}-package-v{version}", card
