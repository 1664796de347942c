"""Find passwords, keys and tokens in text and in a project's committed files. A hit names its kind, never its value."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

# `secret = "churn-service"` names a Kubernetes secret; a value with a digit or a capital is one
_NOT_A_NAME = r"[\"']?\s{0,20}[:=]\s{0,20}[\"'](?-i:[a-z_.-]*+[^a-z_.\"'-])"
_STANDS_FOR = r"\$|\{|<|\.\.\.|…|\*\*\*|example|change|placeholder|not-a-|not_a_|your[-_ ]|dummy|redacted|xxxx"
_TOKENS = (
    r"gh[pousr]_[A-Za-z0-9]{36}|github_pat_\w{60,}|gl(?:pat|dt|rt|cbt|ptt|oas|ft|imt|agent|soat)-[\w-]{20,}"
    r"|(?:sotap?_|hf_|xox[abeprs]-)[A-Za-z0-9_-]{20,}|xapp-\d-[A-Z0-9-]{20,}"
    r"|sk-(?:proj-|svcacct-|ant-[\w]+-|or-v1-)[A-Za-z0-9_-]{20,}"
    r"|sk-(?=[a-z0-9-]{0,60}[A-Z])(?=[A-Za-z-]{0,60}\d)[A-Za-z0-9_-]{20,}"
    r"|(?:sk|rk)_(?:live|test)_[0-9A-Za-z]{16,}|whsec_[A-Za-z0-9+/=]{24,}|SG\.[\w-]{16,}\.[\w-]{16,}"
    r"|[0-9a-f]{32}-us\d{1,2}|(?:AC|SK)[0-9a-f]{32}|key-[0-9a-f]{32}|pypi-[\w-]{40,}|npm_[A-Za-z0-9]{36}"
    r"|AIza[\w-]{35}|ya29\.[\w-]{20,}|GOCSPX-[\w-]{20,}|dapi[0-9a-f]{32}|do[opr]_v1_[0-9a-f]{64}"
    r"|hv[sbr]\.[\w-]{20,}|[A-Za-z0-9]{14}\.atlasv1\.[\w-]{60,}|sntry[su]_[\w+/=-]{40,}|NRAK-[A-Z0-9]{27}"
    r"|lin_api_\w{32,}"
    r"|(?:secret_|ntn_)[A-Za-z0-9]{43,}|glsa_\w{32,}|glc_[\w+/=]{32,}|dt0[a-z]01\.[A-Z0-9]{24}\.\w{40,}"
    r"|dp\.[a-z]{2,6}\.\w{40,}"
    r"|shp(?:at|ss|ca|pa)_[0-9a-f]{32}|sq0(?:atp|csp)-[\w-]{22,}|[MNO][\w-]{23,25}\.[\w-]{6}\.[\w-]{27,}"
    r"|AGE-SECRET-KEY-1[0-9A-Z]{50,}|pscale_(?:tkn|pw|oauth)_[\w.=-]{32,}|pul-[0-9a-f]{40}|rubygems_[0-9a-f]{40,}"
    r"|dckr_pat_[\w-]{20,}|ATATT3\w{20,}|ATCTT3\w{20,}|EAAC\w{30,}|figd_[\w-]{30,}|r8_\w{30,}|gsk_\w{30,}"
    r"|pplx-\w{30,}"
    r"|phc_\w{30,}|phx_\w{30,}|PMAK-[0-9a-f-]{40,}|tfp_\w{30,}|v1\.0-[0-9a-f]{24}-[0-9a-f]{40,}"
    r"|CLOJARS_[0-9a-f]{60}"
    r"|ops_eyJ[\w-]{40,}|\d{8,10}:AA[\w-]{33}|bkua_[0-9a-f]{40}|nf[pcu]_\w{30,}|cio[\w-]{30,}|sbp_[0-9a-f]{40}"
)
_KEY_WORDS = (
    r"password|passwd|passphrase|pwd|(?:api|access|private|secret|account|master|signing|encryption|fernet"
    r"|license|auth)[_-]?key"
    r"|secret[_-]?access[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token|credential|pseudonym_key\w{0,10}"
)
_KINDS = {
    "private key": r"-----BEGIN (?:[A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d",
    "pseudonym key": r"(?i)pseudonym_key\w{0,10}[\"'\]]{0,2}\s{0,20}[:=]\s{0,20}"
    r"[\"']?(?!(?-i:[A-Z_]+)[\"'\s])[0-9a-z+/=_-]{16,}(?![\w.(\[])",
    "S3 access key": r"\b(?:AKIA|ASIA|ABIA|ACCA|SCW)[0-9A-Z]{16,17}\b",
    "service token": rf"(?<![\w.-])(?:{_TOKENS})(?![A-Za-z0-9])",
    "signed token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"
    r"|webhook\.office\.com/webhookb2/[\w@-]{20,}",
    "storage key": r"(?i)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}|[?&]sig=[A-Za-z0-9%+/]{40,}"
    r"|aws_?secret\w{0,20}[\"']?\s{0,20}[:=]\s{0,20}[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    "registry login": r"_auth(?:Token)?\s{0,5}=\s{0,5}[\"']?(?!\$)[\w+/=.-]{8,}"
    r"|\"auth\"\s{0,5}:\s{0,5}\"[A-Za-z0-9+/]{12,}={0,2}\"",
    "login call": r"(?i)\b(?:login|authenticate)\((?:[^()\n]{0,200}(?:key|token"
    r"|password)\s{0,5}=\s{0,5})?[\"'][A-Za-z0-9_-]{20,}[\"']",
    "key of a kaggle.json": r"\"username\"\s{0,5}:\s{0,5}\"[^\"]{1,60}\"\s{0,5},"
    r"\s{0,5}\"key\"\s{0,5}:\s{0,5}\"[0-9a-f]{32}\"",
    "encryption key": r"(?<![\w+/=-])[\"'][A-Za-z0-9_-]{43}=[\"']|Fernet\(b?[\"'][^\"']{20,}[\"']",
    "password in an address": rf"://(?!(\w+):\1@[\w-]+[:/\s\"'])[^/\s:@\"'{{}}$<]{{0,80}}:(?!\*+@"
    rf"|(?i:{_STANDS_FOR}))[^@\s/\"'{{}}$<]{{3,200}}@",
    "password or key in an environment file": (
        r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|ACCESS_KEY|API_KEY|SECRET_KEY|PRIVATE_KEY|AUTH_KEY"
        r"|ACCOUNT_KEY)="
        rf"[\"']?(?!(?i:{_STANDS_FOR})|\w{{1,60}}\[)[^\s$<{{\"'(@*]{{8,}}"
    ),
    "password or key": (
        rf"(?i)(?:(?:{_KEY_WORDS})|(?:secret|token|auth)(?=" + _NOT_A_NAME + r"))"
        # "tracking_password": "MLFLOW_TRACKING_PASSWORD" says in which variable it is
        r"[\"']?\s{0,20}[:=]\s{0,20}[bru]{0,2}[\"'](?!(?-i:[A-Z]+(?:_[A-Z]+)+)[\"'])"
        rf"(?![^\"']{{0,200}}?(?:{_STANDS_FOR}))[^\"'\s]{{8,}}[\"']"
    ),
    "password of several words": r"(?i)pass(?:phrase"
    r"|word)[\"']?\s{0,5}[:=]\s{0,5}[\"'][a-z]{3,12}(?: [a-z]{3,12}){3,9}[\"']",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}
# settings without quotes: YAML, INI, properties, .env in lower case, DVC's and Git's own files
_UNQUOTED = re.compile(
    rf"(?i)^[ \t]*(?:export\s+|-\s+|set\s+)?[\"']?[\w./-]{{0,80}}?(?:({_KEY_WORDS}|\bpass)|(secret|token"
    rf"|auth))[\"']?"
    r"\s{0,20}[:=]\s{0,20}(?![\"'])([^\s\"'#,;(){}\[\]$<>*&|!]{6,300})\s*(?:[#;].*)?$"
)
_LOGIN_FILES = {
    ".netrc": re.compile(r"\bpassword\s+(?![$<{])\S{4,}"),
    "_netrc": re.compile(r"\bpassword\s+(?![$<{])\S{4,}"),
    ".pgpass": re.compile(r"^[^:#\s]{1,200}:[\d*]{1,6}:[^:]{1,100}:[^:]{1,100}:\S{3,}$"),
    "pgpass.conf": re.compile(r"^[^:#\s]{1,200}:[\d*]{1,6}:[^:]{1,100}:[^:]{1,100}:\S{3,}$"),
}
_CODE = (
    ".py",
    ".pyi",
    ".js",
    ".ts",
    ".jsx",
    ".tsx",
    ".r",
    ".java",
    ".go",
    ".rs",
    ".ipynb",
    ".sql",
    ".md",
    ".html",
    ".css",
    ".sh",
    ".lock",
    ".j2",
)
_LONGEST_LINE = 5_000
"""Characters of one line that are searched at once; a longer line is cut at blanks, commas and semicolons."""
_LARGEST = 2_000_000
_HEAD = 8000
"""Bytes in which a zero marks a file as binary, as for git."""


@dataclass(frozen=True, slots=True)
class ScanHit:
    """Something that should not be committed, at ``file:line``."""

    file: str
    line: int
    kind: str


def secrets_in(text: str, file: str = "") -> Iterator[tuple[int, str]]:
    """Line number (from 1) and kind of each secret in ``text``; the name of ``file`` says how values are written."""
    name = file.rpartition("/")[2].lower()
    settings = bool(file) and not name.endswith(_CODE)
    login = _LOGIN_FILES.get(name)
    for number, whole in enumerate(text.splitlines(), start=1):
        kinds: dict[str, None] = {}
        for line in _pieces(whole):
            kinds |= dict.fromkeys(
                kind for kind, pattern in _PATTERNS.items() if pattern.search(line)
            )
            if settings and not kinds and _unquoted_secret(line):
                kinds["password or key without quotes"] = None
            if login and login.search(line):
                kinds["password of a login file"] = None
        if kinds and not _is_waived(whole):
            yield from ((number, kind) for kind in kinds)


def _pieces(line: str) -> Iterator[str]:
    if len(line) <= _LONGEST_LINE:
        yield line
        return
    for part in re.split(r"[\s,;]+", line):
        for start in range(0, len(part), _LONGEST_LINE):
            yield part[start : start + _LONGEST_LINE]


def _unquoted_secret(line: str) -> bool:
    """``password: s3cretS3cret``: a value that mixes digits or capitals in; a word, a path or a reference is none."""
    match = _UNQUOTED.match(line)
    if match is None or re.search(_STANDS_FOR, match.group(3), re.IGNORECASE):
        return False
    value = match.group(3)
    if re.fullmatch(
        r"[\d.:-]+|(?i:true|false|none|null)|[./~].*|[A-Z][A-Z0-9_]*|\w+://.*|sha\d+:.*", value
    ):
        return False
    mixed = (
        re.search(r"\d", value) is not None
        or re.search(r"[a-z][A-Z]|[A-Z][a-z]*[^\w.-]", value) is not None
    )
    if match.group(1):
        return mixed or re.search(r"[^\w.-]", value) is not None
    # a name such as churn-db-2 is what Kubernetes calls a secret
    is_name = re.fullmatch(r"[a-z]+(?:[-.][a-z0-9]+)*", value) is not None and len(value) < 24
    return mixed and not is_name


def _is_waived(line: str) -> bool:
    if "audit-waiver" not in line:
        return False
    from sovereign_ml.audit._policy import LineWaiver, line_waiver

    waiver = line_waiver(line)
    return isinstance(waiver, LineWaiver) and waiver.until >= datetime.now(UTC).date()


def scan_secrets(root: Path, exclude: Iterable[str] = ()) -> list[ScanHit]:
    """Return the secrets in the files that git tracks or would track below ``root``."""
    hits: list[ScanHit] = []
    for name, text in _texts(root, exclude):
        if text is not None:
            hits += [ScanHit(name, line, kind) for line, kind in secrets_in(text, name)]
    return hits


def unread(root: Path, exclude: Iterable[str] = ()) -> list[str]:
    """Return the files that ``scan_secrets`` does not read: binary ones, such as a wheel, and those over 2 MB."""
    return [name for name, text in _texts(root, exclude) if text is None]


def _texts(root: Path, exclude: Iterable[str]) -> Iterator[tuple[str, str | None]]:
    """Yield each committed file with its text; None for one that is binary or too large."""
    patterns = tuple(exclude)
    for path in committed(root):
        name = path.relative_to(root).as_posix()
        if any(fnmatch(name, pattern) for pattern in patterns):
            continue
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else b"\0"
        yield name, None if b"\0" in data[:_HEAD] else data.decode("utf-8", "replace")


def committed(root: Path, pattern: str = "*", *, symlinks: bool = False) -> list[Path]:
    """Files below ``root`` that git tracks or does not ignore; every file where there is no git repository."""
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=False,
    )
    if listing.returncode:
        found = (path for path in root.rglob(pattern) if not {".venv", ".git"} & set(path.parts))
    else:
        names = listing.stdout.decode("utf-8", "replace").split("\0")
        found = (root / name for name in names if name and fnmatch(Path(name).name, pattern))
    return sorted(
        path
        for path in found
        if (path.is_symlink() and symlinks) or (path.is_file() and not path.is_symlink())
    )
