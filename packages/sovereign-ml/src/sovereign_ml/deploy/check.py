"""Refuse a staged folder that the platform or the data protection officer would refuse later."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from importlib.util import decode_source
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.bundle.library_identity import DISTRIBUTION
from sovereign_ml.deploy.dockerfile import dockerfile_faults
from sovereign_ml.deploy.packing import LIMIT_BYTES, pack, packed_paths
from sovereign_ml.deploy.stage import WHEELS
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.supply_chain.lockfile import library_pin, parse_lock
from sovereign_ml.supply_chain.wheel import read_wheel

ROOT_FILES = {"Dockerfile", ".sotaignore", ".sota.json"}
DATA = {
    *(".csv", ".tsv", ".parquet", ".feather", ".arrow", ".xlsx", ".jsonl", ".ndjson"),
    *(".xls", ".avro", ".orc", ".db", ".duckdb", ".sqlite", ".sqlite3", ".dump"),
}
UNSAFE = {
    *(".pkl", ".pickle", ".joblib", ".npy", ".npz"),
    *(".pem", ".key", ".p12", ".pfx", ".jks", ".env"),
}
PACKED = {".gz", ".bz2", ".xz", ".zst", ".zip"}
UNSAFE_NAMES = {"id_rsa", "id_ed25519", ".netrc", ".pgpass", ".pypirc"}
REFUSED_PACKAGES = {
    *("pandas", "sklearn", "mlflow", "feast", "duckdb", "dvc", "kfp", "great_expectations"),
    *("matplotlib", "pickle", "joblib", "cloudpickle", "dill", "churn"),
}
# The wings of the library that work with the packages of its extra `service` alone.
RUNTIME_HALF = {
    *("bundle", "card", "decision_log", "decisions", "egress", "errors"),
    *("jurisdictions", "model", "service"),
}
LOCK, SBOM, BUNDLE = "app/serve.lock", "app/sbom.cdx.json", "app/bundle"
NEEDED = (*("Dockerfile", ".sotaignore", LOCK, SBOM), f"{BUNDLE}/card.json", f"{BUNDLE}/card.html")
Problems = Iterator[tuple[str, Path | str, str]]
"""For each problem the rule, the file (a path, or a name below the folder) and the message."""


class StagingProblem(NamedTuple):
    """One reason not to send the folder: the rule, the file, and what is wrong and allowed."""

    rule: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.rule}]"


def check_staged(folder: Path) -> list[StagingProblem]:
    """Return every problem of a staged folder, none when it may be sent. Nothing in it is run."""
    rules: tuple[Callable[[Path], Problems], ...] = (
        *(_root, _links, _kinds, _needed, _dropped, _vendor),
        *(_dockerfile, _lock, _wheel, _bundle, _imports, _project, _size),
    )
    return [
        StagingProblem(rule, _name(path, folder), message)
        for check in rules
        for rule, path, message in check(folder)
    ]


def _root(folder: Path) -> Problems:
    """Refuse root files, such as package.json, for which the platform ignores the Dockerfile."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in ROOT_FILES:
            yield "root-files", path, f"only {', '.join(sorted(ROOT_FILES))} may lie at the root"


def _links(folder: Path) -> Problems:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            yield "symlink", path, "a symbolic link breaks the archive; copy the file instead"


def _kinds(folder: Path) -> Problems:
    for path in _files(folder):
        kind = path.suffix.lower()
        # What is packed is named before: customers.csv.gz.
        if kind in PACKED:
            kind = Path(path.stem).suffix.lower()
        if kind in DATA:
            yield "data", path, "data does not belong into an image; only the bundle does"
        unsafe = path.name.startswith(".env") or path.name in UNSAFE_NAMES
        if unsafe or kind in UNSAFE:
            yield "unsafe-file", path, "a key, an .env file or a pickle may not be shipped"


def _needed(folder: Path) -> Problems:
    for name in NEEDED:
        if not (folder / name).is_file():
            yield "missing", name, "the file is needed in the image; stage the folder again"


def _dropped(folder: Path) -> Problems:
    """Refuse files that the client's ignore rules leave out: they would be missing in the image."""
    sent = set(packed_paths(folder))
    for path in _files(folder):
        if path not in sent and path.name != ".sota.json":
            yield "ignored", path, "the sota client leaves this file out; rename it"


def _vendor(folder: Path) -> Problems:
    """Refuse folders named vendor: the client silently leaves out the one at the root."""
    for path in sorted(folder.rglob("vendor")):
        message = (
            f"the sota client drops a folder named vendor; the wheel belongs into app/{WHEELS}"
        )
        yield "vendor", path, message


def _dockerfile(folder: Path) -> Problems:
    path = folder / "Dockerfile"
    if path.is_file():
        for rule, message in dockerfile_faults(path.read_text(encoding="utf-8")):
            yield rule, path, message


def _lock(folder: Path) -> Problems:
    path = folder / LOCK
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    if re.search(r"https?://|^\s*--(extra-)?index-url|^\s*-i\s", text, re.MULTILINE):
        yield "address", path, "a lock may not name a package index; run `make lock`"
        return
    try:
        parse_lock(text, "serve.lock")
    except ValueError as error:
        yield "hashes", path, str(error)


def _wheel(folder: Path) -> Problems:
    """Refuse every library but the one wheel whose version and hash serve.lock names."""
    lock = folder / LOCK
    if not lock.is_file():
        return
    pin = library_pin(lock.read_text(encoding="utf-8"))
    if pin is None:
        yield "wheel", lock, f"it must name {DISTRIBUTION} once, with its hash"
        return
    wheels = folder / "app" / WHEELS
    files = _files(wheels)
    if len(files) != 1:
        names = ", ".join(path.name for path in files) or "nothing"
        yield "wheel", wheels, f"exactly the wheel of {DISTRIBUTION} may lie here: {names}"
        return
    try:
        wheel = read_wheel(files[0])
    except (Misuse, Refused) as error:
        yield "wheel", files[0], str(error)
        return
    if (wheel.version, (wheel.sha256,)) != (pin.version, pin.hashes):
        message = f"serve.lock names {DISTRIBUTION} {pin.version} with another hash; stage again"
        yield "wheel", files[0], message


def _bundle(folder: Path) -> Problems:
    from sovereign_ml.bundle.library_identity import rule_digest
    from sovereign_ml.bundle.release_check import objections_to
    from sovereign_ml.bundle.sealed import MANIFEST, read_bundle

    try:
        bundle = read_bundle(folder / BUNDLE)
    except ValueError as error:
        yield "bundle", BUNDLE, str(error)
        return
    for reason in objections_to(bundle, rule_digest()):
        yield "serving", BUNDLE, f"would not start in profile eu: {reason}"
    for path in _files(folder / BUNDLE):
        if path.name not in (*bundle.manifest.files, MANIFEST):
            yield "bundle", path, f"{MANIFEST} does not list this file"


def _imports(folder: Path) -> Problems:
    """Refuse training libraries, pickle, and the project half of the library in the service class.

    An import counts wherever in the file it stands.
    """
    for path in _files(folder / "app" / "serve"):
        if path.suffix != ".py":
            continue
        try:
            modules = set(_imported(path))
        except SyntaxError as error:
            yield "imports", path, f"is no Python: line {error.lineno or 1}: {error.msg}"
            continue
        except ValueError as error:  # no UTF-8, or a zero byte
            yield "imports", path, f"is no Python: {error}"
            continue
        for name in sorted({_refused_part(module) for module in modules} - {""}):
            yield "imports", path, f"imports {name}, which may not be in the service"


def _refused_part(module: str) -> str:
    """Return the package, or the wing of the library, that may not be imported, else ''."""
    top, _, rest = module.partition(".")
    wing = rest.partition(".")[0]
    if top == "sovereign_ml":
        return f"{top}.{wing}" if wing and wing not in RUNTIME_HALF else ""
    return top if top in REFUSED_PACKAGES else ""


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(decode_source(path.read_bytes()), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        # A relative import stays within the service class.
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = node.module == "sovereign_ml"
            yield from (f"{node.module}.{a.name}" if inner else node.module for a in node.names)


def _project(folder: Path) -> Problems:
    """Refuse a wrong link file, at which the client exits with `.sota.json missing project_id`."""
    path = folder / ".sota.json"
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    keys = set(content) if isinstance(content, dict) else set()
    if keys != {"project_id", "project_slug"} or not content["project_id"]:
        yield "project", path, "exactly project_id and project_slug are needed; stage again"


def _size(folder: Path) -> Problems:
    # The archive of a folder with links cannot be built. `_links` names them already.
    if any(path.is_symlink() for path in folder.rglob("*")):
        return
    size = len(pack(folder))
    if size > LIMIT_BYTES:
        message = f"packed {size:,} bytes, allowed {LIMIT_BYTES:,}; the file list names the largest"
        yield "size", folder, message


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def _name(path: Path | str, folder: Path) -> str:
    return path if isinstance(path, str) else path.relative_to(folder).as_posix()
