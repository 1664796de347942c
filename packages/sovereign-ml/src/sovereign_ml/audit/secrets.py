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
_STANDS_FOR = (
    r"\$|\{|<|\.\.\.|…|\*\*\*|example|change|placeholder|not-a-|not_a_|your[-_ ]|dummy|redacted|xxxx"
    r"|replace[-_ ]?(?:me|this|with)|todo|insert[-_ ]|^(?:pass(?:word|wort)|secret|postgres|minioadmin|admin)$"
)
_UUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
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
    r"|api_org_[A-Za-z]{34}|rdme_[a-z0-9]{60,}|tskey-[a-z]{3,10}-[\w-]{20,}|fo1_[\w-]{40,}|fm[12]_[\w+/=-]{60,}"
    r"|sgp_[0-9a-f_]{40,}|xai-\w{60,}|AKCp\w{60,}|lsv2_(?:pt|sk)_[0-9a-f]{32}_[0-9a-f]{10}|nvapi-[\w-]{60,}"
    rf"|[sp]k-lf-{_UUID}|pat-(?:na|eu)\d-{_UUID}|[ps]k\.eyJ1[\w-]{{20,}}\.[\w-]{{20,}}|LTAI[A-Za-z0-9]{{12,20}}"
    r"|AKID[A-Za-z0-9]{32}|(?i:vault[_ -]?token)\W{1,5}s\.[A-Za-z0-9]{24}|re_[A-Za-z0-9]{8}_[A-Za-z0-9]{24}|xkeysib-[0-9a-f]{64}-\w{16}"
    r"|sl\.[\w-]{130,}"
    r"|pat[A-Za-z0-9]{14}\.[0-9a-f]{64}|ABSK[A-Za-z0-9+/=]{100,}|NRJS-[0-9a-f]{19}|CFPAT-[\w-]{40,}"
    r"|ops_eyJ[\w-]{40,}|\d{8,10}:AA[\w-]{33}|bkua_[0-9a-f]{40}|nf[pcu]_\w{30,}|cio[\w-]{30,}|sbp_[0-9a-f]{40}"
)
_KEY_WORDS = (
    r"password|passwd|passphrase|pwd|passwort|(?:api|access|private|secret|account|master|signing|encryption|fernet"
    r"|license|auth)[_-]?key"
    r"|secret[_-]?access[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token|credential|pseudonym_key\w{0,10}"
)
_KINDS = {
    "private key": r"-----BEGIN (?:[A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d",
    "pseudonym key": r"(?i)pseudonym_key\w{0,10}[\"'\]]{0,2}\s{0,20}[:=]\s{0,20}"
    r"[\"']?(?!(?-i:[A-Z_]+)[\"'\s])[0-9a-z+/=_-]{16,}(?![\w.(\[])",
    "S3 access key": r"\b(?:AKIA|ASIA|ABIA|ACCA|SCW)(?!\w{0,12}EXAMPLE)[0-9A-Z]{16,17}\b",
    "service token": rf"(?<![\w.-])(?:{_TOKENS})(?![A-Za-z0-9])",
    "signed token": r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{10,}",
    "webhook": r"hooks\.slack\.com/(?:services|workflows|triggers)/[\w/+-]{20,}"
    r"|discord(?:app)?\.com/api/webhooks/\d+/[\w-]{20,}"
    r"|webhook\.office\.com/webhookb2/[\w@-]{20,}",
    "storage key": r"(?i)(?:AccountKey|SharedAccessKey)=[A-Za-z0-9+/]{40,}={0,2}|[?&]sig=[A-Za-z0-9%+/]{40,}"
    r"|aws_?secret\w{0,20}[\"']?\s{0,20}[:=]\s{0,20}[\"']?[A-Za-z0-9/+]{40}(?![A-Za-z0-9/+])",
    "registry login": r":_password\s{0,5}=\s{0,5}\S{8,}|_auth(?:Token)?\s{0,5}=\s{0,5}[\"']?(?!\$)[\w+/=.-]{8,}"
    r"|\"auth\"\s{0,5}:\s{0,5}\"[A-Za-z0-9+/]{12,}={0,2}\"",
    "login call": r"(?i)\bwandb\s+login\s.{0,60}\b[0-9a-f]{40}\b|\b(?:login|authenticate)\((?:[^()\n]{0,200}(?:key|token"
    r"|password)\s{0,5}=\s{0,5})?[\"'][A-Za-z0-9_-]{20,}[\"']",
    "key of a kaggle.json": r"\"username\"\s{0,5}:\s{0,5}\"[^\"]{1,60}\"\s{0,5},"
    r"\s{0,5}\"key\"\s{0,5}:\s{0,5}\"[0-9a-f]{32}\"",
    "authorization header": r"(?i)\bauthorization[\"']?\s{0,5}[:=,]\s{0,5}[\"']?(?:bearer|basic|token)\s{1,3}"
    r"(?!\$|\{|<|%)[\w.~+/=-]{20,}",
    "login in a command": (
        rf"(?i)(?:\bcurl\s(?:.{{0,200}}\s)?(?:-u|--user)[ =]?[\"']?[\w.@-]{{1,60}}:|\b(?:mysql|mysqldump|mariadb)\s.{{0,100}}\s-p"
        rf"|\b(?:docker|podman|helm\s+registry)\s+login\s.{{0,100}}\s(?:-p|--password)[ =]|\bsshpass\s+-p\s?|\bredis-cli\s.{{0,60}}\s-a\s"
        rf"|\s--(?:\w{{1,20}}-)?(?:password|token|api-key|secret)[ =]|\s--set(?:-string)?\s+[\w.]{{0,60}}(?:password|token|secret)=)"
        rf"(?!(?i:.{{0,20}}(?:{_STANDS_FOR})))[\"']?(?=[^\s\"']{{0,40}}\d)[^\s\"'$<{{|;&(-][^\s\"'$<{{|;&(]{{5,}}"
    ),
    "password in SQL": r"(?i)\b(?:password|identified\s+by|secret|key_secret)\s+'(?!\$|\{|<|change|:|%)[^'\s]{6,200}'",
    "password in XML": (
        rf"(?i)<(\w{{0,40}}(?:password|passwd|pwd|passphrase|secret|apikey|api-key|token))>"
        rf"(?!\s|\$\{{|\{{\{{|[^<]{{0,60}}(?:change|example|your|xxxx))[^<\s]{{6,200}}</\1>"
        rf"|(?:key|name)=\"\w{{0,40}}(?:password|apikey|api_key|secret|token)\"\s+value=\"(?![^\"]{{0,100}}(?:{_STANDS_FOR}))[^\"\s]{{8,}}\""
    ),
    "password of a call": (
        rf"(?i)\bauth\s?=\s?\(\s?[\"'][^\"']{{1,60}}[\"'],\s?[\"'](?![^\"']{{0,60}}(?:{_STANDS_FOR}))[^\"'\s]{{6,}}[\"']"
        rf"|[\"'][\w.-]{{0,40}}(?:password|passwd|api[_-]?key|secret[_-]?key)[\"'],\s?[\"']"
        rf"(?=[^\"']{{0,60}}\d)(?![^\"']{{0,60}}(?:{_STANDS_FOR}))[^\"'\s]{{8,}}[\"']"
    ),
    "client key": r"client-key-data:\s{0,5}[A-Za-z0-9+/]{40,}",
    "encryption key": r"(?<![\w+/=-])[\"'][A-Za-z0-9_-]{43}=[\"']|Fernet\(b?[\"'][^\"']{20,}[\"']",
    "password in an address": rf"://(?!(\w+):\1@[\w-]+[:/\s\"'])[^/\s:@\"'{{}}$<]{{0,80}}:(?!\*+@"
    rf"|(?i:{_STANDS_FOR}))[^@\s/\"'{{}}$<]{{3,200}}@",
    "password or key in an environment file": (
        r"(?:PASSWORD|PASSWD|PASSPHRASE|SECRET|TOKEN|ACCESS_KEY|API_KEY|SECRET_KEY|PRIVATE_KEY|AUTH_KEY"
        r"|ACCOUNT_KEY|STORAGE_KEY|SHARED_KEY|MASTER_KEY|SIGNING_KEY)="
        rf"[\"']?(?!(?i:{_STANDS_FOR})|(?i:password|passwort)\b|\w{{1,60}}\[)[^\s$<{{\"'(@*]{{8,}}"
        rf"|^\s{{0,8}}ENV\s+\w{{0,60}}(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|SECRET_KEY)\s+(?!(?i:{_STANDS_FOR}))[^\s$<{{=\"']{{8,}}"
    ),
    "password or key": (
        rf"(?i)(?<!hashed_)(?:(?:{_KEY_WORDS})|(?:secret|token|auth)(?=" + _NOT_A_NAME + r"))"
        # "tracking_password": "MLFLOW_TRACKING_PASSWORD" says in which variable it is
        # a type may stand between (password: string = "…"), a single word is a label ("Passwort")
        r"[\"']?\]?\s{0,20}(?::\s{0,3}\w{2,20}\s{0,3})?[:=]\s{0,20}[bru]{0,2}[\"']"
        r"(?!(?-i:[A-Z]+(?:_[A-Z]+)+|[A-ZÄÖÜ][a-zäöüß]+|password|passwort|contraseña)[\"'])"
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
_NAME_OF_ONE = (
    r"[\"']?name[\"']?\s{0,5}:\s{0,5}[\"']?\w{0,60}(?:PASSWORD|SECRET|TOKEN|API_KEY|_KEY)[\"']?"
)
_NAME_LINE = re.compile(rf"^\s*-?\s*{{?\s*{_NAME_OF_ONE}\s{{0,5}},?\s*$")
_NAMED_VALUE = re.compile(
    rf"{_NAME_OF_ONE}\s{{0,5}},?\s{{0,80}}[\"']?value[\"']?\s{{0,5}}:\s{{0,5}}[\"']?([^\s\"'${{}}<,]{{6,300}})"
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
    named = ""  # the name of the variable whose value the next line holds
    for number, whole in enumerate(text.splitlines(), start=1):
        kinds: dict[str, None] = {}
        for line in _pieces(whole):
            kinds |= dict.fromkeys(
                kind for kind, pattern in _PATTERNS.items() if pattern.search(line)
            )
            if settings and not kinds and _unquoted_secret(line):
                kinds["password or key without quotes"] = None
            pair = _NAMED_VALUE.search(f"{named}\n{line}" if named else line)
            if pair and not kinds and _is_mixed(pair.group(1)):
                kinds["password or key beside its name"] = None
            if login and login.search(line):
                kinds["password of a login file"] = None
        named = whole if len(whole) < 300 and _NAME_LINE.match(whole) else ""
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
    is_name = (
        re.fullmatch(r"[a-z]+\d{0,2}(?:[-.][a-z0-9]+)*", value) is not None and len(value) < 24
    )
    return mixed and not is_name


def _is_mixed(value: str) -> bool:
    return (
        re.search(r"\d", value) is not None
        and re.search(r"[A-Za-z]", value) is not None
        and re.search(_STANDS_FOR, value, re.IGNORECASE) is None
    )


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
