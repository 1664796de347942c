"""Walk a project, hand each file to its reader, add git remotes and the environment, and judge what was found."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from fnmatch import fnmatch
from pathlib import Path

from sovereign_ml.audit._code import dockerfile, notebook, python
from sovereign_ml.audit._judge import judge
from sovereign_ml.audit._mention import Mention, Payload, mention
from sovereign_ml.audit._policy import AuditPolicy, Declaration
from sovereign_ml.audit._report import Report
from sovereign_ml.audit._text import addresses, lines, template_source, with_s3_endpoints
from sovereign_ml.audit._yaml import yaml

Reader = Callable[[str, str], Iterator[Mention]]

_SKIP = {
    ".git",
    ".venv",
    "venv",
    "node_modules",
    "__pycache__",
    ".churn",
    ".mlflow",
    "build",
    "data",
    "dist",
}
_CACHES = {
    ".mypy_cache",
    ".pytest_cache",
    ".ruff_cache",
    ".hypothesis",
    ".ipynb_checkpoints",
    ".tox",
    ".nox",
}
_SKIP_WITHIN = {(".dvc", "cache"), (".dvc", "tmp")}
_READERS: tuple[tuple[str, Reader], ...] = (
    ("*Dockerfile*", dockerfile),
    ("*Containerfile*", dockerfile),
    ("*.ipynb", notebook),
    ("*.py", python),
    ("*.yml", yaml),
    ("*.yaml", yaml),
    (".cruft.json", template_source),
    ("dvc.lock", yaml),
    ("*.dvc", yaml),
    *(
        (name, lines)
        for name in (
            "*.toml",
            "*.cfg",
            "*.ini",
            "*.conf",
            "*.sh",
            "*.tf",
            "*.tfvars",
            "*.hcl",
            "*.env",
        )
    ),
    *(
        (name, lines)
        for name in (
            "Makefile",
            "*.mk",
            "requirements*.txt",
            "*.in",
            "*.lock",
            ".env*",
            "config",
            ".netrc",
        )
    ),
    *(
        (name, lines)
        for name in (
            "config.local",
            ".gitmodules",
            "pip.conf",
            "*.json",
            "*.properties",
            "Jenkinsfile",
        )
    ),
)
_LARGEST = 2_000_000  # bytes; larger files are data, not configuration
_VARIABLE = re.compile(
    r"URL|URI|ENDPOINT|HOST|DSN|INDEX|PROXY|SERVER|REGISTRY|REMOTE|BROKER|ADDRESS", re.IGNORECASE
)
_ENVIRONMENT_ENDPOINTS = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")


def audit(
    root: Path,
    policy: AuditPolicy,
    *,
    today: date,
    environ: Mapping[str, str] | None = None,
    declared: Iterable[Declaration] = (),
    project: str = "",
    strict: bool = False,
) -> Report:
    """Judge every address in ``root`` and ``environ`` by ``policy``.

    ``project`` is the name of the project's own container image, which carries the model and not only code. ``strict``
    (the eu profile) turns an undeclared owner and a placeholder from a warning or notice into an error.
    """
    found = scan(root, environ=environ or {}, exclude=policy.exclude)
    findings = judge(found, policy, today=today, declared=declared, project=project, strict=strict)
    return Report(findings=tuple(findings), root=root.name)


def scan(
    root: Path, *, environ: Mapping[str, str] | None = None, exclude: Iterable[str] = ()
) -> list[Mention]:
    """Every address in the project's files, its git remotes and ``environ``, in the order of the files."""
    environment = environ or {}
    endpoint = next(
        (environment[name] for name in _ENVIRONMENT_ENDPOINTS if environment.get(name)), None
    )
    if environment.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        endpoint = None
    found: list[Mention] = []
    for path, reader in _files(root, tuple(exclude)):
        text = path.read_text(encoding="utf-8", errors="replace")
        found += with_s3_endpoints(reader(path.relative_to(root).as_posix(), text), endpoint)
    return found + list(_git_remotes(root)) + with_s3_endpoints(_environment(environment), endpoint)


def _files(root: Path, exclude: tuple[str, ...]) -> Iterator[tuple[Path, Reader]]:
    for path in sorted(_walk(root)):
        relative = path.relative_to(root).as_posix()
        if any(fnmatch(relative, pattern) for pattern in exclude) or path.stat().st_size > _LARGEST:
            continue
        reader = next((reader for pattern, reader in _READERS if fnmatch(path.name, pattern)), None)
        if reader is not None:
            yield path, reader


def _walk(folder: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_symlink():
            continue
        if entry.is_dir():
            if entry.name not in _SKIP | _CACHES and (folder.name, entry.name) not in _SKIP_WITHIN:
                yield from _walk(entry)
        elif entry.is_file():
            yield entry


def _git_remotes(root: Path) -> Iterator[Mention]:
    config = root / ".git" / "config"
    if config.is_file():
        for row in lines(".git/config", config.read_text(encoding="utf-8", errors="replace")):
            yield replace(row, component="ci", carries=(Payload.CODE,))


def _environment(environ: Mapping[str, str]) -> Iterator[Mention]:
    for name, value in sorted(environ.items()):
        if _VARIABLE.search(name) or "://" in value:
            for address, kind in addresses(value, "host" if _names_host(name) else ""):
                yield mention("environment", 0, name, address, kind=kind)


def _names_host(name: str) -> bool:
    """Whether a bare word in this variable is a host (``REDIS_HOST``), not a name that only contains dots."""
    return name.upper().endswith(
        ("_HOST", "_ENDPOINT", "_SERVER", "_SERVERS", "_REGISTRY", "_URL", "_URI")
    )
