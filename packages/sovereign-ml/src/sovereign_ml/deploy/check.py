"""Refuse a staged folder that the platform, a reviewer or the data protection officer would have to refuse later."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.config.deploy import DIGEST
from sovereign_ml.deploy.packing import LIMIT_BYTES, pack, packed_paths
from sovereign_ml.supply_chain.sbom import parse_lock

ROOT_FILES = {"Dockerfile", ".sotaignore", ".sota.json"}
DATA = {
    *(".csv", ".tsv", ".parquet", ".feather", ".arrow", ".xlsx", ".jsonl", ".ndjson"),
    ".db",
    ".duckdb",
    ".sqlite",
}
UNSAFE = {*(".pkl", ".pickle", ".joblib", ".npy"), ".pem", ".key", ".p12", ".pfx"}
HEAVY = frozenset(
    {
        "pandas",
        "sklearn",
        "mlflow",
        "feast",
        "duckdb",
        "dvc",
        "kfp",
        "great_expectations",
        "matplotlib",
    }
)
EVERY_ADDRESS = "0.0.0.0"  # noqa: S104  what the container must bind
PICKLE = frozenset({"pickle", "joblib", "cloudpickle", "dill"})
NEEDED = ("app/serve.lock", "app/sbom.cdx.json", "app/bundle/card.json", "app/bundle/card.html")


class Problem(NamedTuple):
    """One reason not to send the folder: the rule, the file, and what is wrong and allowed."""

    rule: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message} [{self.rule}]"


def check_staged(folder: Path) -> list[Problem]:
    """Every problem of a staged folder, empty when it may be sent; nothing in it is run."""
    rules: tuple[Callable[[Path], Iterator[Problem]], ...] = (
        *(_root, _links, _kinds, _needed, _dropped),
        *(_dockerfile, _lock, _bundle, _imports, _project, _size),
    )
    return [problem for rule in rules for problem in rule(folder)]


def _root(folder: Path) -> Iterator[Problem]:
    """A root requirements.txt, pyproject.toml or package.json could make the platform ignore the Dockerfile."""
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.name not in ROOT_FILES:
            yield Problem(
                "root-files", path.name, f"only {', '.join(sorted(ROOT_FILES))} may lie at the root"
            )


def _links(folder: Path) -> Iterator[Problem]:
    for path in sorted(folder.rglob("*")):
        if path.is_symlink():
            yield Problem(
                "symlink",
                _name(path, folder),
                "a symbolic link breaks the archive; copy the file instead",
            )


def _kinds(folder: Path) -> Iterator[Problem]:
    for path in _files(folder):
        if path.suffix.lower() in DATA:
            yield Problem(
                "data",
                _name(path, folder),
                "data does not belong into an image; only the bundle does",
            )
        if path.suffix.lower() in UNSAFE or path.name.startswith(".env"):
            yield Problem(
                "unsafe-file",
                _name(path, folder),
                "a key, an .env file or a pickle may not be shipped",
            )


def _needed(folder: Path) -> Iterator[Problem]:
    for name in ("Dockerfile", ".sotaignore", *NEEDED):
        if not (folder / name).is_file():
            yield Problem(
                "missing", name, "the file is needed in the image; stage the folder again"
            )


def _dropped(folder: Path) -> Iterator[Problem]:
    """The client's ignore rules are quirky: a file that is here but not sent would be missing in the image."""
    sent = set(packed_paths(folder))
    for path in _files(folder):
        if path not in sent and path.name != ".sota.json":
            yield Problem(
                "ignored", _name(path, folder), "the sota client leaves this file out; rename it"
            )


def _dockerfile(folder: Path) -> Iterator[Problem]:
    if not (folder / "Dockerfile").is_file():
        return
    text = (folder / "Dockerfile").read_text(encoding="utf-8")
    lines = [
        line.strip()
        for line in text.replace("\\\n", " ").splitlines()
        if line.strip()[:1] not in ("", "#")
    ]
    steps = [(line.split(maxsplit=1)[0].upper(), line.partition(" ")[2].strip()) for line in lines]
    for rule, message in _dockerfile_faults(steps):
        yield Problem(rule, "Dockerfile", message)


def _dockerfile_faults(steps: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    def values(keyword: str) -> list[str]:
        return [value for name, value in steps if name == keyword]

    if not values("FROM") or not all(
        DIGEST.fullmatch(value.split()[0]) for value in values("FROM")
    ):
        yield (
            "base-image",
            f"FROM {values('FROM')}: each must name a digest, image@sha256:<64 hex digits>",
        )
    if any("example.eu" in value or "0" * 64 in value for value in values("FROM")):
        yield (
            "placeholder",
            f"FROM {values('FROM')[0]} is the template's example; set [deploy] base_image in config.toml",
        )
    user = (values("USER") or ["root"])[-1].split(":")[0]
    if not user.isdigit() or int(user) == 0:
        yield "user", f"the last USER is {user!r}: a numeric user other than 0 is needed"
    if values("EXPOSE") != ["8080"]:
        yield (
            "expose",
            f"EXPOSE is {values('EXPOSE')}: exactly one, 8080, is read by the platform as the port",
        )
    command = (values("CMD") or [""])[-1]
    if (
        EVERY_ADDRESS not in command
        or "${PORT:-8080}" not in command
        or not command.startswith('["sh", "-c", "exec ')
    ):
        yield (
            "command",
            f"CMD is {command!r}: it must exec through sh -c and bind {EVERY_ADDRESS} at ${{PORT:-8080}}",
        )
    installs = [value for value in values("RUN") if "pip install" in value]
    if (
        len(installs) != 1
        or "--require-hashes" not in installs[0]
        or "--no-deps" not in installs[0]
    ):
        yield (
            "hashes",
            "exactly one `pip install`, with --require-hashes and --no-deps, may install packages",
        )
    if any(
        re.search(r"https?://|--(extra-)?index-url|--trusted-host", f"{name} {value}")
        for name, value in steps
    ):
        yield (
            "address",
            "no address may be written here; the builder's own index or PIP_INDEX_URL is used",
        )


def _lock(folder: Path) -> Iterator[Problem]:
    path = folder / "app" / "serve.lock"
    if not path.is_file():
        return
    text = path.read_text(encoding="utf-8")
    if re.search(r"https?://|^\s*--(extra-)?index-url|^\s*-i\s", text, re.MULTILINE):
        yield Problem("address", "app/serve.lock", "a lock names no package index; run `make lock`")
        return
    try:
        parse_lock(text, "serve.lock")
    except ValueError as error:
        yield Problem("hashes", "app/serve.lock", str(error))


def _bundle(folder: Path) -> Iterator[Problem]:
    from sovereign_ml.bundle.library_identity import rule_digest
    from sovereign_ml.bundle.release_check import objections_to
    from sovereign_ml.bundle.sealed import read_bundle

    try:
        bundle = read_bundle(folder / "app" / "bundle")
    except ValueError as error:
        yield Problem("bundle", "app/bundle", str(error))
        return
    for reason in objections_to(bundle, rule_digest()):
        yield Problem("serving", "app/bundle", f"would not start in profile eu: {reason}")
    for path in _files(folder / "app" / "bundle"):
        if path.name not in (*bundle.manifest.files, "bundle.json"):
            yield Problem("bundle", _name(path, folder), "bundle.json does not list this file")


def _imports(folder: Path) -> Iterator[Problem]:
    """Neither the trainer's libraries nor pickle in the serving process, wherever in the file they are imported."""
    for path in _files(folder / "app"):
        if path.suffix == ".py":
            tops = {name.split(".")[0] for name in _imported(path)}
            for name in sorted(tops & (HEAVY | PICKLE | {"churn"})):
                yield Problem(
                    "imports",
                    _name(path, folder),
                    f"imports {name}, which may not be in the service",
                )


def _imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _project(folder: Path) -> Iterator[Problem]:
    """Absent before first use; the client exits with `.sota.json missing project_id` on a wrong one."""
    path = folder / ".sota.json"
    if not path.is_file():
        return
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        content = None
    if (
        not isinstance(content, dict)
        or set(content) != {"project_id", "project_slug"}
        or not content["project_id"]
    ):
        yield Problem(
            "project", ".sota.json", "exactly project_id and project_slug are needed; stage again"
        )


def _size(folder: Path) -> Iterator[Problem]:
    if any(path.is_symlink() for path in folder.rglob("*")):
        return
    size = len(pack(folder))
    if size > LIMIT_BYTES:
        yield Problem(
            "size",
            ".",
            f"packed {size:,} bytes, allowed {LIMIT_BYTES:,}; see the file list for the largest",
        )


def _files(folder: Path) -> list[Path]:
    return [path for path in sorted(folder.rglob("*")) if path.is_file() and not path.is_symlink()]


def _name(path: Path, folder: Path) -> str:
    return path.relative_to(folder).as_posix()
