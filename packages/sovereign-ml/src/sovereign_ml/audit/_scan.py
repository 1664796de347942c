"""Scan of a project: files with their readers, git remotes, the environment, and the verdicts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import date
from fnmatch import fnmatch
from functools import lru_cache
from pathlib import Path

from sovereign_ml import git
from sovereign_ml.audit._audit_report import NotRead, Report
from sovereign_ml.audit._judge import judge
from sovereign_ml.audit._mention import Mention, mention
from sovereign_ml.audit._named import by_key
from sovereign_ml.audit._payloads import Payload, fits, is_document, is_lock
from sovereign_ml.audit._policy import AuditPolicy, Declaration
from sovereign_ml.audit._services import by_text
from sovereign_ml.audit.readers.addresses import addresses
from sovereign_ml.audit.readers.build_files import dockerfile, jenkins
from sovereign_ml.audit.readers.notebook_cells import notebook
from sovereign_ml.audit.readers.python_code import python
from sovereign_ml.audit.readers.text_lines import lines, logins, template_source
from sovereign_ml.audit.readers.yaml_tree import yaml
from sovereign_ml.audit.secrets import committed, decoded
from sovereign_ml.git import GitError
from sovereign_ml.jurisdictions import parse
from sovereign_ml.jurisdictions._table import scheme_owner

Reader = Callable[[str, str], Iterator[Mention]]

# at the project's root only: a package called `data` deeper down is code
_SKIP_AT_ROOT = {".churn", ".mlflow", "build", "data", "dist", "env", "venv"}
_SKIP_ANYWHERE = {
    *(
        ".git",
        ".venv",
        "node_modules",
        "__pycache__",
        ".mypy_cache",
        ".pytest_cache",
        ".ruff_cache",
    ),
    *(".hypothesis", ".ipynb_checkpoints", ".tox", ".nox", ".terraform"),
}
_SKIP_WITHIN = {(".dvc", "cache"), (".dvc", "tmp")}
_READERS: tuple[tuple[str, Reader], ...] = (
    ("*Dockerfile*", dockerfile),
    ("*Containerfile*", dockerfile),
    ("*.dockerfile", dockerfile),
    ("*Jenkinsfile*", jenkins),
    ("*.ipynb", notebook),
    ("*.py", python),
    ("*.pyi", python),
    (".cruft.json", template_source),
    (".netrc", logins),
    ("_netrc", logins),
    (".pgpass", logins),
    ("pgpass.conf", logins),
    ("dvc.lock", yaml),
    ("*-lock.y*ml", lines),  # a lock of packages is long, and its keys say nothing
    ("package-lock.json", lines),
    ("*.json", yaml),  # JSON is YAML, so that each value has its path
    ("*.yml", yaml),
    ("*.yaml", yaml),
    ("*.dvc", yaml),
    ("MLproject", yaml),
    ("MLmodel", yaml),
)
_WITHIN_A_LINE = dict.fromkeys(map(ord, "\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), " ")
"""Signs at which ``str.splitlines`` ends a line, and Python's and YAML's parsers do not.

Left in, a finding would get the waiver of another line.
"""
_LARGEST = 5_000_000  # bytes; larger files are data, not configuration
_TABLES = ("*.csv", "*.tsv", "*.jsonl", "*.ndjson", "*.svg")
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

    ``project`` is the name of the project's own container image, which carries the model and not
    only code. ``strict`` (the eu profile) turns an undeclared owner and a placeholder from a
    warning or notice into an error.
    """
    mentions, not_read = _scan(root, environ or {}, policy.exclude)
    findings = judge(
        mentions, policy, today=today, declared=declared, project=project, strict=strict
    )
    return Report(findings=tuple(findings), root=root.name, not_read=tuple(not_read))


def scan(
    root: Path, *, environ: Mapping[str, str] | None = None, exclude: Iterable[str] = ()
) -> list[Mention]:
    """Return every address in the project's files, its git remotes and ``environ``.

    They are in the order of the files.
    """
    return _scan(root, environ or {}, tuple(exclude))[0]


def _scan(
    root: Path, environ: Mapping[str, str], exclude: tuple[str, ...]
) -> tuple[list[Mention], list[NotRead]]:
    endpoint = next((environ[name] for name in _ENVIRONMENT_ENDPOINTS if environ.get(name)), None)
    # Clients of AWS then pass over the endpoints of the environment.
    if environ.get("AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "").lower() == "true":
        endpoint = None
    mentions: list[Mention] = []
    not_read: list[NotRead] = []
    for path in project_files(root):
        name = path.relative_to(root).as_posix()
        text = _text_of(path, name, exclude)
        if isinstance(text, NotRead):
            not_read.append(text)
        else:
            mentions += _with_s3_endpoints(_read(name, text), endpoint)
    mentions += list(_git_remotes(root)) + _with_s3_endpoints(_environment(environ), endpoint)
    return mentions, not_read


@lru_cache(maxsize=1024)
def _read(name: str, text: str) -> tuple[Mention, ...]:
    """Return the mentions of a file, each with its line.

    A word is left out where another endpoint in the file replaces it. Steps 6 and 7 of one run
    read the same texts, so the mentions of a text are kept.
    """
    short = name.rpartition("/")[2]
    reader = next((reader for pattern, reader in _READERS if fits(short, pattern)), lines)
    rows = text.splitlines()
    mentions = []
    hosts: set[str] = set()
    services: set[tuple[str, str]] = set()
    named = () if is_document(name) else by_text(name, text)
    for row in (*reader(name, text), *named):
        if row.unless is not None and row.unless.search(text):
            continue
        # one service is one fact of a file, however often its library is called
        if row.word and row.kind == "name" and row.key != "line":
            if (row.address, row.word) in services:
                continue
            services.add((row.address, row.word))
        if is_lock(name):  # hundreds of packages from one host are one fact
            host = parse(row.address).host
            if host in hosts:
                continue
            hosts.add(host)
        mentions.append(
            replace(row, source_line=rows[row.line - 1] if 0 < row.line <= len(rows) else "")
        )
    return tuple(dict.fromkeys(mentions))


def _text_of(path: Path, name: str, exclude: tuple[str, ...]) -> str | NotRead:
    """Return the text of a file, or the reason why it is not read."""
    reason = _why_not(path, name, exclude)
    if reason:
        return NotRead(name, reason)
    try:
        data = path.read_bytes()
    except OSError as error:
        return NotRead(name, f"not readable: {error.strerror}")
    text = decoded(data)
    return NotRead(name, "binary") if text is None else text.translate(_WITHIN_A_LINE)


def _why_not(path: Path, name: str, exclude: tuple[str, ...]) -> str:
    """Return the reason why a file is not even opened, empty if it is."""
    pattern = next((pattern for pattern in exclude if fnmatch(name, pattern)), "")
    if pattern:
        return f"excluded by {pattern}"
    if path.is_symlink():
        return "symbolic link"
    if any(fnmatch(path.name, pattern) for pattern in _TABLES):
        return "table or drawing"
    return f"over {_LARGEST // 1_000_000} MB" if path.stat().st_size > _LARGEST else ""


def project_files(root: Path) -> list[Path]:
    """Return every file that git tracks, and the files beside them.

    Settings such as .env are ignored by git, but they count.
    """
    # A link is not followed, but the report lists it among what was not read.
    tracked = set(committed(root, symlinks=True)) if (root / ".git").exists() else set()
    return sorted(tracked | set(_walk(root, root)))


def _walk(folder: Path, root: Path) -> Iterator[Path]:
    for entry in folder.iterdir():
        if entry.is_symlink() or entry.is_file():
            yield entry
        elif entry.is_dir() and not _skipped(entry, folder, root):
            yield from _walk(entry, root)


def _skipped(entry: Path, folder: Path, root: Path) -> bool:
    at_root = folder == root and entry.name in _SKIP_AT_ROOT
    within = (folder.name, entry.name) in _SKIP_WITHIN
    return at_root or within or entry.name in _SKIP_ANYWHERE


def _git_remotes(root: Path) -> Iterator[Mention]:
    # Git knows where it is: in a second worktree and in a part of a repository not below `root`.
    try:
        config = root / git.ask(root, "rev-parse", "--git-path", "config")
    except GitError:
        config = root / ".git" / "config"
    if config.is_file():
        for row in lines(".git/config", config.read_text(encoding="utf-8", errors="replace")):
            yield replace(row, component="ci", carries=(Payload.CODE,))


def _environment(environ: Mapping[str, str]) -> Iterator[Mention]:
    whole = "\n".join(f"{name}={value}" for name, value in environ.items() if value)
    for name, value in sorted(environ.items()):
        for row in by_key("environment", 0, name, value):
            if row.unless is None or not row.unless.search(whole):
                yield row
        if _VARIABLE.search(name) or "://" in value:
            for address, kind in addresses(value, "host" if _names_host(name) else ""):
                yield mention("environment", 0, name, address, kind=kind)


def _names_host(name: str) -> bool:
    """Return whether a bare word in this variable is a host (``REDIS_HOST``).

    Other variables hold names that only contain dots.
    """
    return name.upper().endswith(
        ("_HOST", "_ENDPOINT", "_SERVER", "_SERVERS", "_REGISTRY", "_URL", "_URI")
    )


def _with_s3_endpoints(
    unresolved: Iterable[Mention], environ_endpoint: str | None
) -> list[Mention]:
    """Give each ``s3://`` mention its endpoint.

    It is the endpoint of its own section, else the only one of the file, else that of the
    environment.
    """
    mentions = list(unresolved)
    endpoints = [(row.key, row.address) for row in mentions if _names_endpoint(row)]
    return [_resolved(row, endpoints, environ_endpoint) for row in mentions]


def _names_endpoint(row: Mention) -> bool:
    return "endpoint" in row.key.rpartition(".")[2].lower() and not _is_s3(row)


def _is_s3(row: Mention) -> bool:
    owner = scheme_owner(parse(row.address).scheme)
    return owner is not None and owner.name == "Amazon Web Services"


def _resolved(
    row: Mention, endpoints: list[tuple[str, str]], environ_endpoint: str | None
) -> Mention:
    if not _is_s3(row):
        return row
    section = row.key.rpartition(".")[0]
    near = [address for key, address in endpoints if key.rpartition(".")[0] == section]
    everywhere = {address for _, address in endpoints}
    only = next(iter(everywhere)) if len(everywhere) == 1 else None
    chosen = near[0] if near else only or environ_endpoint
    return replace(row, s3_endpoint=chosen)
