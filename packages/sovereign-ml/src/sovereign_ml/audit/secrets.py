"""Find passwords, keys and tokens in text and in a project's committed files. A hit names its kind, never its value."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path

from sovereign_ml import git
from sovereign_ml.errors import Misuse
from sovereign_ml.git import GitError

# `secret = "churn-service"` names a Kubernetes secret; a value with a digit or a capital is one
_NOT_A_NAME = (
    r"[\"']?\s{0,20}(?::\s{0,3}[A-Za-z]\w{1,20}\s{0,3})?[:=]\s{0,20}[\"']"
    r"(?!(?-i:[a-z]+(?:[-._](?:[a-z]+|\d{1,2})){0,8})[\"'])(?-i:[a-z_.-]*+[^a-z_.\"'-])"
)
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
    r"|license|auth|hmac|aes)[_.-]?key"
    r"|secret[_-]?access[_-]?key|client[_-]?secret|auth[_-]?token|access[_-]?token|credential|pseudonym_?key\w{0,10}"
)
_ASSIGNS = r"(?:[?:+]{0,2}=|:|<-)"
_KINDS = {
    "private key": r"-----BEGIN (?:[A-Z]+ ){0,4}PRIVATE KEY(?: BLOCK)?-----|PuTTY-User-Key-File-\d"
    r"|\"kty\"\s{0,5}:.{0,2000}\"[dk]\"\s{0,5}:\s{0,5}\"[\w-]{20,}\"",
    "random key": r"(?i)(?<!public[_.-])(?<!cache[_.-])(?<!partition[_.-])(?<![a-z])(?:key|salt|pepper)[\"'\]]{0,2}\s{0,20}"
    r"(?:[?:]?=|:|<-)\s{0,20}(?:[\w.]{1,30}\()?b?[\"']?(?:[0-9a-f]{64}|[0-9a-f]{32})(?![\w-])",
    "key of a call": r"(?i)\b(?:hmac\.new|jwt\.(?:en|de)code|pgp_sym_(?:en|de)crypt|AES\.new|AESGCM)\((?:[^()\"']{0,80},\s?)?"
    r"b?[\"'](?=[^\"']{0,60}\d)[\w+/=-]{16,}[\"']",
    "product key": r"(?i:product|licen[cs]e|serial|activation)[ _-]?(?i:key|number|no)?\W{1,5}"
    r"(?=[A-Z-]{0,30}\d)[A-Z0-9]{4,6}(?:-[A-Z0-9]{4,6}){3,5}\b",
    "default of a secret": (
        r"(?:PASSWORD|PASSWD|SECRET|TOKEN|API_KEY|SECRET_KEY|ACCESS_KEY|PRIVATE_KEY|_PASS)[\"'\])]{0,3}\s{0,3}"
        rf"(?:\|\||\?\?|\bor\b|:-|:=)\s{{0,3}}[\"']?(?!(?i:[^\"'}}]{{0,60}}(?:{_STANDS_FOR})))(?=[^\s\"'}}]{{0,60}}\d)"
        r"[^\s\"'${}<(]{8,}"
        r"|(?i:password|passwd|secret|token|api_key)\w{0,20}[\"']?\s{0,3}[:=]\s{0,3}[\"']?\$\{\w{1,60}:?[-=]"
        rf"(?!(?i:[^}}]{{0,60}}(?:{_STANDS_FOR})))(?=[^\s}}]{{0,60}}\d)[^\s\"'${{}}<(:/]{{8,}}\}}"
    ),
    "password in a connection text": (
        rf"(?i)(?:\b(?:host|server|user(?: id|name)?|dbname|database|data source|uid)\s?=[^\"'=;\n]{{1,100}}[;\s]\s?"
        rf"(?:[\w ]{{1,30}}=[^\"'=;\n]{{1,60}}"
        rf"[;\s]\s?){{0,5}}|:\d{{2,5}},(?:\w{{1,20}}=\w{{1,20}},){{0,3}})(?:password|pwd)\s?=\s?(?![^;\s\"']{{0,60}}(?:{_STANDS_FOR}))"
        r"(?=[^;\s\"',]{0,60}\d)[^;\s\"',${<%]{6,}"
    ),
    "pseudonym key": r"(?i)pseudonym_?key\w{0,10}[\"'\]]{0,2}\s{0,20}(?:[?:]?=|:|<-|,)\s{0,20}"
    r"b?[\"']?(?!(?-i:[A-Z_]+)[\"'\s])[0-9a-z+/=_-]{16,}(?![\w.(\[])",
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
        rf"|[\s\"'\[]--(?:\w{{1,20}}-)?(?:password|token|api-key|secret)[ =,\"']{{1,4}}"
        rf"|\s--from-literal[ =][\w.-]{{0,60}}(?:password|token|secret|key)[\w.-]{{0,20}}="
        rf"|\bdvc\s+remote\s+modify\s.{{0,80}}\s(?:password|\w{{0,30}}(?:secret|token|_key)\w{{0,20}})\s+"
        rf"|\baws\s+configure\s+set\s+\S{{0,60}}(?:secret|token)\S{{0,20}}\s+|\bmc\s+(?:alias|config\s+host)\s.{{0,200}}\s\S+\s+"
        rf"|\brequirepass[ \"',]{{1,4}}|\bvault\s+(?:kv\s+put|write)\s.{{0,100}}(?:password|token|secret|key)\w{{0,20}}="
        rf"|\bhtpasswd\s+-\w{{0,5}}b\w{{0,5}}\s+\S+\s+\S+\s+|\bopenssl\s.{{0,100}}\s(?:-k\s|-pass(?:in|out)?\s+pass:)"
        rf"|\s--set(?:-string)?\s+[\w.]{{0,60}}(?:password|token|secret)=)"
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
        rf"|[\"'][\w.-]{{0,40}}(?:password|passwd|api[._-]?key|secret[._-]?key|account[._]key[\w.-]{{0,60}})[\"'],\s?[\"']"
        rf"(?=[^\"']{{0,60}}\d)(?![^\"']{{0,60}}(?:{_STANDS_FOR}))[^\"'\s]{{8,}}[\"']"
    ),
    "client key": r"client-key-data:\s{0,5}[A-Za-z0-9+/]{40,}",
    "encryption key": r"(?<![\w+/=-])(?<!public_key = )(?<!public_key=)(?<!publicKey: )[\"'][A-Za-z0-9_-]{43}=[\"']"
    r"|Fernet\(b?[\"'][^\"']{20,}[\"']",
    "password in an address": rf"://(?!(\w+):\1@[\w-]+[:/\s\"']|[\w.-]{{1,30}}:(?:password|passwd|pass|secret)@|[A-Z_]{{2,40}}:[A-Z_]{{2,40}}@)[^/\s:@\"'{{}}$<]{{0,80}}:(?!\*+@"
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
        r"[\"']?\]?\s{0,20}(?::\s{0,3}\w{2,20}\s{0,3})?(?:[:?]?=|:|<-)\s{0,20}[bru]{0,2}[\"']"
        r"(?!(?-i:[A-Z]+(?:_[A-Z]+)+|[A-ZÄÖÜ][a-zäöüß]+|password|passwort|contraseña)[\"'])"
        rf"(?![^\"']{{0,200}}?(?:{_STANDS_FOR}))[^\"'\s]{{8,}}[\"']"
    ),
    "password of several words": r"(?i)pass(?:phrase"
    r"|word)[\"']?\s{0,5}[:=]\s{0,5}[\"'][a-z]{3,12}(?: [a-z]{3,12}){3,9}[\"']",
}
_PATTERNS = {kind: re.compile(pattern) for kind, pattern in _KINDS.items()}
# settings without quotes: YAML, INI, properties, .env in lower case, DVC's and Git's own files
_UNQUOTED = re.compile(
    rf"(?i)^[ \t]*(?:export\s+|-\s+|set\s+)?[\"']?[\w./-]{{0,80}}?(?:({_KEY_WORDS}|(?<![a-z])(?:pass|pw))|(secret|token"
    rf"|auth))[\"']?"
    rf"\s{{0,20}}{_ASSIGNS}\s{{0,20}}(?![\"'])([^\s\"'#,;(){{}}\[\]$<>*&|!]{{6,300}})\s*(?:[#;].*)?$"
)
_INLINE = re.compile(
    rf"(?i)[{{,]\s{{0,5}}([\"']?[\w./-]{{0,60}}?(?:{_KEY_WORDS}|(?<![a-z])(?:pw|pass))[\"']?\s{{0,5}}:\s{{1,5}}[^\s\"',{{}}\[\]$<>*&|!]{{6,300}})\s{{0,5}}[,}}]"
)
"""One pair of a YAML mapping in braces."""
# the name stands in one line, its value below it
_OPENED = re.compile(
    rf"(?i)^[ \t]*(?:-\s+)?([\w.-]{{0,60}}?(?:{_KEY_WORDS}))[\"']?\s{{0,5}}:\s{{0,5}}[>|][+-]?\s*$"
)
_VARIABLE_OF_ONE = re.compile(
    rf"(?i)^\s*variable\s+\"\w{{0,60}}(?:{_KEY_WORDS}|secret|token)\w{{0,20}}\"\s*{{"
)
_REFERENCE = re.compile(
    r"(?:env|vault|op|file|ssm|secret|secretref|awssm|gcpsm|arn|keyring|sops|ref\+\w+):.*|Ag[A-Za-z0-9+/]{100,}=*"
)
"""A value that says where the secret is, or that only a cluster can open."""
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
_ESCAPING = (".ipynb", ".json", ".jsonl")
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
    opened = ""  # the key whose value stands below it
    variable = False
    terraform = name.endswith((".tf", ".hcl", ".tfvars"))
    for number, whole in enumerate(text.splitlines(), start=1):
        kinds: dict[str, None] = {}
        for line in _pieces(whole.replace('\\"', '"') if name.endswith(_ESCAPING) else whole):
            kinds |= dict.fromkeys(
                kind for kind, pattern in _PATTERNS.items() if pattern.search(line)
            )
            reference = terraform and _TERRAFORM.search(line) is not None
            looked_at = _settings_of(line, opened) if settings and not (kinds or reference) else ()
            if any(map(_unquoted_secret, looked_at)):
                kinds["password or key without quotes"] = None
            if variable and not kinds and _DEFAULT_VALUE.match(line):
                kinds["default of a secret"] = None
            pair = _NAMED_VALUE.search(f"{named}\n{line}" if named else line)
            if pair and not kinds and _is_mixed(pair.group(1)):
                kinds["password or key beside its name"] = None
            if login and login.search(line):
                kinds["password of a login file"] = None
        match = _OPENED.match(whole) if settings and len(whole) < 300 else None
        opened = match.group(1) if match else ""
        variable = bool(_VARIABLE_OF_ONE.match(whole[:300])) or (
            variable and not whole.startswith("}")
        )
        named = whole if len(whole) < 300 and _NAME_LINE.match(whole) else ""
        if kinds and not _is_waived(whole):
            yield from ((number, kind) for kind in kinds)


_TERRAFORM = re.compile(r"=\s{0,20}[a-z]\w{0,60}(?:\.[\w\[\]*-]{1,60}){1,8}\s*$")
_DEFAULT_VALUE = re.compile(
    rf"\s*default\s*=\s*\"(?!(?i:{_STANDS_FOR}))(?=[^\"]*[\dA-Z])[^\"\s]{{6,300}}\""
)


def _settings_of(line: str, opened: str) -> Iterator[str]:
    """Yield a line as a setting, the pairs of a mapping in braces, and the value under a key that was opened."""
    yield line
    if "{" in line:
        yield from _INLINE.findall(line)
    if opened:
        yield f"{opened}: {line.strip()}"


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
    if _REFERENCE.fullmatch(value):
        return False
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
        # A name of a file may be any bytes; what is shown is text.
        name = os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "replace")
        if any(fnmatch(name, pattern) for pattern in patterns):
            continue
        data = path.read_bytes() if path.stat().st_size <= _LARGEST else b"\0"
        yield name, None if b"\0" in data[:_HEAD] else data.decode("utf-8", "replace")


def _listed(root: Path) -> list[str]:
    options = ("-z", "--cached", "--others", "--exclude-standard")
    try:
        names = git.ask(root, "ls-files", *options, errors="surrogateescape")
    except GitError as error:
        raise Misuse(
            f"Git does not tell which files belong to the project: {error}. Nothing was searched: "
            "let git answer, then run this again."
        ) from None
    return [name for name in names.split("\0") if name]


def committed(root: Path, pattern: str = "*", *, symlinks: bool = False) -> list[Path]:
    """Files below ``root`` that git tracks or does not ignore.

    Every file where there is no git repository, or one around the folder that ignores it. Raises
    Misuse where git does not tell.
    """
    names = _listed(root) if git.in_repository(root) else []
    if names:
        found = (root / name for name in names if fnmatch(Path(name).name, pattern))
    else:
        below = ((path, set(path.relative_to(root).parts)) for path in root.rglob(pattern))
        found = (path for path, parts in below if not {".venv", ".git"} & parts)
    return sorted(
        path
        for path in found
        if (path.is_symlink() and symlinks) or (path.is_file() and not path.is_symlink())
    )
