"""The bundle that is registered, served and scored from, read only when it is whole.

A bundle is a folder. ``bundle.json`` lists every other file with its SHA-256. A file that is
missing or was changed after sealing stops the reader, so that the approved model answers.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError, model_validator

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.model import served
from sovereign_ml.model.scorecard import Scorecard

if TYPE_CHECKING:
    from sovereign_ml.decisions.rule_policy import RulePolicy

__all__ = [
    "MANIFEST",
    "Bundle",
    "DecisionPolicy",
    "FeatureContract",
    "Manifest",
    "read_bundle",
    "read_contract",
    "read_manifest",
    "read_policy",
    "read_rules",
    "rules_json",
    "seal_bundle",
]

MANIFEST = "bundle.json"
P = TypeVar("P")
REQUIRED = ("model.json", "contract.json", "policy.json", "rules.json", "card.json")


class Manifest(BaseModel):
    """``bundle.json``: where the bundle comes from and the SHA-256 of every other file in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schema_version: Literal["1"] = "1"
    name: str
    version: str
    profile: Literal["local", "eu"]
    created_at: str
    git_commit: str
    data_version: str
    library_version: str = ""
    library_wheel_sha256: str = ""
    rule_digest: str = ""
    files: dict[str, str]

    @model_validator(mode="after")
    def _lists_what_a_reader_needs(self) -> Manifest:
        if absent := [name for name in REQUIRED if name not in self.files]:
            raise ValueError(f"files lacks {', '.join(absent)}")
        # A name with a folder in it would lead the reader out of the bundle.
        if outside := [
            name
            for name in self.files
            if name in ("", ".", "..", MANIFEST) or set(name) & set("/\\")
        ]:
            raise ValueError(
                f"files may only name other files of the bundle itself, not {', '.join(outside)!r}"
            )
        return self


@dataclass(frozen=True)
class Bundle:
    """A whole, checked bundle. ``rules`` are the figures by which its card was judged."""

    model: Scorecard
    contract: FeatureContract
    policy: DecisionPolicy
    rules: RulePolicy
    manifest: Manifest
    card: dict[str, Any]


def seal_bundle(folder: Path, **origin: str) -> Manifest:
    """Write ``bundle.json`` over the files now in ``folder`` and return it.

    ``origin`` has the fields of `Manifest` without ``files``. `LibraryIdentity.tags` returns those
    of the library. Raises ValueError when a field or a needed file is absent.
    """
    files = {
        path.name: sha256_of(path)
        for path in sorted(folder.iterdir())
        if path.is_file() and path.name != MANIFEST
    }
    content = origin | {"files": files}
    manifest = _parse(Manifest.model_validate_json, json.dumps(content).encode(), folder / MANIFEST)
    (folder / MANIFEST).write_text(manifest.model_dump_json(indent=2) + "\n", encoding="utf-8")
    return manifest


def seal_again(folder: Path, sealed: Manifest) -> Manifest:
    """Seal the files now in ``folder`` as the bundle ``sealed``. Only their hashes may differ."""
    return seal_bundle(folder, **sealed.model_dump(exclude={"schema_version", "files"}))


def read_bundle(folder: Path) -> Bundle:
    """Return a sealed bundle. Raises ValueError if a file is missing, changed or misfits."""
    manifest = read_manifest(folder / MANIFEST)
    # Read once: a file that is read again to be parsed may have changed since it was checked.
    content = {name: sealed_bytes(folder, name, manifest) for name in manifest.files}
    paths = {name: folder / name for name in REQUIRED}
    bundle = Bundle(
        model=_parse(served.parse, content["model.json"], paths["model.json"]),
        contract=_parse(
            FeatureContract.model_validate_json, content["contract.json"], paths["contract.json"]
        ),
        policy=_parse(
            DecisionPolicy.model_validate_json, content["policy.json"], paths["policy.json"]
        ),
        rules=_rules(content["rules.json"], paths["rules.json"]),
        manifest=manifest,
        card=_object(content["card.json"], paths["card.json"]),
    )
    _fit_together(bundle)
    return bundle


def sealed_bytes(folder: Path, name: str, manifest: Manifest) -> bytes:
    """Return the content of the file ``name`` of the bundle in ``folder``, as it was sealed.

    Raises ValueError in one line if it is missing or was changed, and KeyError if ``manifest``
    does not list it.
    """
    expected, content = manifest.files[name], _bytes(folder / name)
    actual = hashlib.sha256(content).hexdigest()
    if actual != expected:
        raise ValueError(
            f"{folder / name}: SHA-256 is {actual[:12]}, {MANIFEST} says {expected[:12]}: "
            "the file was changed after the bundle was sealed; register again"
        )
    return content


def read_contract(path: Path) -> FeatureContract:
    """Return ``contract.json``. Raises ValueError in one line if it is missing or malformed."""
    return _parse(FeatureContract.model_validate_json, _bytes(path), path)


def read_policy(path: Path) -> DecisionPolicy:
    """Return ``policy.json``. Raises ValueError in one line if it is missing or malformed."""
    return _parse(DecisionPolicy.model_validate_json, _bytes(path), path)


def rules_json(rules: RulePolicy) -> str:
    """Return the text of ``rules.json``: ``[card.policy]`` when the bundle was made."""
    return json.dumps({"schema_version": "1", **rules.model_dump(mode="json")}, indent=2) + "\n"


def read_rules(path: Path) -> RulePolicy:
    """Return ``rules.json``. Raises ValueError in one line if it is missing or malformed."""
    return _rules(_bytes(path), path)


def _rules(raw: bytes, path: Path) -> RulePolicy:
    from sovereign_ml.decisions.rule_policy import RulePolicy

    content = _object(raw, path)
    if (version := content.pop("schema_version", None)) != "1":
        raise ValueError(
            f"{path}: schema_version is {version!r}, this reader knows '1'; register again"
        )
    return _parse(RulePolicy.model_validate_json, json.dumps(content).encode(), path)


def read_manifest(path: Path) -> Manifest:
    """Return ``bundle.json``. Raises ValueError in one line if it is missing or malformed."""
    return _parse(Manifest.model_validate_json, _bytes(path), path)


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; a bundle is made by `churn register`")
    return path.read_bytes()


def _parse(read: Callable[[bytes], P], content: bytes, path: Path) -> P:
    try:
        return read(content)
    # A ValidationError is a ValueError too, so it is caught first.
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "file"
        raise ValueError(f"{path}: {where}: {first['msg']}") from None
    # json gives up on thousands of nested brackets with a RecursionError.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None


def _object(raw: bytes, path: Path) -> dict[str, Any]:
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {error}") from None
    if not isinstance(content, dict):
        raise ValueError(f"{path}: a JSON object is needed, seen {type(content).__name__}")
    return content


def _fit_together(bundle: Bundle) -> None:
    # Each file may be whole and still belong to another bundle.
    inputs, declared = (
        set(bundle.model.features),
        {feature.name for feature in bundle.contract.features},
    )
    if inputs != declared:
        raise ValueError(
            "model.json and contract.json differ in features: "
            f"{', '.join(sorted(inputs ^ declared))}"
        )
    if bundle.policy.target != bundle.model.target:
        raise ValueError(
            f"policy.json is for {bundle.policy.target!r}, "
            f"model.json predicts {bundle.model.target!r}"
        )
