"""Payload of an address, from the key in front of it, its scheme, the file and the command."""

from __future__ import annotations

import re
from enum import StrEnum
from fnmatch import fnmatch
from functools import lru_cache

from sovereign_ml.jurisdictions._table import look_up


class Payload(StrEnum):
    """Payloads of addresses, the most sensitive first."""

    PERSONAL_DATA = "personal_data"
    MODEL = "model"
    METADATA = "metadata"
    TELEMETRY = "telemetry"
    CODE = "code"


_P, _M, _D, _T, _C = Payload
DOCUMENTS = (
    *(
        "*.md",
        "*.rst",
        "*.adoc",
        "LICENSE*",
        "LICENCE*",
        "NOTICE*",
        "CHANGELOG*",
        "CITATION*",
        "AUTHORS*",
    ),
    *("mkdocs.y*ml", "CODE_OF_CONDUCT*", "*.txt", "*.tex", "*.bib", "robots.txt"),
    *("COPYING*", "DESCRIPTION", "*.po", "*.pot", "catalog-info.y*ml", "FUNDING.yml"),
)
"""Texts for people. An address in them is a link and carries nothing."""
_REQUIREMENTS = (
    "*requirement*.txt",
    "*constraint*.txt",
    "environment*.y*ml",
    ".npmrc",
    ".yarnrc*",
    "pip.conf",
    "pip.ini",
    "poetry.toml",
    "uv.toml",
    "Pipfile",
    "package.json",
    "*.in",
    "go.mod",
)
_LOCKS = (
    "*.lock",
    "package-lock.json",
    "pnpm-lock.y*ml",
    "npm-shrinkwrap.json",
    "bun.lock*",
    "go.sum",
    "*.lock.json",
    "*.lock.hcl",
    "*-lock.y*ml",
    "*.lockfile",
)
_DATA_LOCKS = ("dvc.lock",)
_PLACEHOLDER = re.compile(
    r"[/.@](?:example\.(?:com|org|net|eu)|[\w-]+\.(?:example|invalid|test))(?![\w.-])", re.I
)
_EDITORS = (".vscode/", ".idea/", ".devcontainer/")
_NAMESPACE = re.compile(
    r"https?://(?:www\.w3\.org/|schemas?\.|json-schema\.org|json\.schemastore\.org|purl\.org"
    r"|xmlns\."
    r"|docs\.oasis-open\.org|maven\.apache\.org/(?:POM|xsd)|www\.springframework\.org/schema"
    r"|java\.sun\.com/"
    r"|jakarta\.ee/xml|cyclonedx\.org/schema|www\.omg\.org/spec|www\.gnu\.org/(?:licenses|copyleft)"
    r"|ns\.adobe\.com|spdx\.org|creativecommons\.org|opensource\.org|www\.apache\.org/licenses"
    r"|[^?#]{1,300}(?:[.-]schema\.json|\.xsd|\.dtd)$)",
    re.IGNORECASE,
)
# Pages that answer no program: the manuals of a known provider, and a repository as a person sees
# it.
_PAGE = re.compile(
    r"https?://(?:(docs\.(?!google\.)[\w.-]+)|learn\.microsoft\.com|[\w-]+\.readthedocs\.io"
    r"|(?:www\.)?stackoverflow\.com"
    r"|[a-z]{2,3}\.wikipedia\.org|arxiv\.org|(?:dx\.)?doi\.org"
    r"|(?:github|gitlab)\.com/[\w.-]+/[\w.-]+/(?:-/)?(?:blob|tree|issues|pull|discussions|wiki"
    r"|commit|compare|merge_requests)"
    r"(?![\w-]))(?=[/?#:]|$)",
    re.IGNORECASE,
)
CODE_LINE = re.compile(
    r"(?:\bgit\s+(?:clone|submodule|remote|fetch|pull)"
    r"|\b(?:pip|pipx|uv|poetry|conda|mamba)\s.{0,80}"
    r"|\bnpm\s+i\w*|\byarn\s+add"
    r"|\bhelm\s+(?:repo|install|upgrade|pull)|\b(?:docker|podman)\s+(?:pull|run|build)"
    r"|\bapt(?:-get)?\s"
    r"|\bgo\s+(?:get|install)|\bkubectl\s+(?:apply|create|replace|delete)\s|\bansible-galaxy\s"
    r"|\bcargo\s+install|\binstall_(?:github|gitlab|url)\()"
    r"[^|;&]{0,200}$"
)
"""Text before an address in a command that only fetches code."""
DOWNLOAD = re.compile(
    r"\b(?:wget|curl|Invoke-WebRequest|iwr)\b(?![^|]{0,300}\s(?:-d|-F|-T|--data\S*|--form|--json"
    r"|--upload-file"
    r"|--post-\S+|-X\s?(?:POST|PUT|PATCH))\b)"
    r"(?=.{0,300}(?:\s-[a-zA-Z]{0,5}[oO]\b|\s--(?:output|remote-name)"
    r"|\|\s{0,3}(?:sudo\s+)?(?:ba|z)?sh\b"
    r"|\|\s{0,3}(?:sudo\s+)?(?:tar|python3?|gpg|apt-key|tee|gunzip|kubectl)\b"
    r"|\.(?:sh|tar\.\w+|tgz|zip|whl|deb|rpm|gpg|asc|jar|sha256)\b"
    r"|/releases/))",
    re.IGNORECASE,
)
"""A command that fetches a file and sends none."""
SENDS = re.compile(
    r"\bcurl\b.{0,300}\s(?:-d|-F|-T|--data\S*|--form\S*|--json|--upload-file"
    r"|-X\s?(?:POST|PUT|PATCH))(?:\s|@|$)"
    r"|\bwget\b.{0,300}\s--(?:post|body)-|\bhttps?\s+(?:POST|PUT|PATCH)\s"
    r"|\bInvoke-\w+\b.{0,200}-Method\s+P"
    r"|^\s*(?:CMD|ENTRYPOINT)\b",
    re.IGNORECASE,
)
"""A command that sends something, and the content of a container that runs."""
LINK = re.compile(
    r"<a\s[^<>]{0,300}href\s{0,5}=\s{0,5}[\"']?$|\bhref\s{0,5}:\s{0,5}[\"'`]$"
    r"|(?:^|[|;&@\s])(?:echo|printf)\s[^|;&>]{0,200}$"
    r"|<link\s[^<>]{0,200}rel\s{0,5}=\s{0,5}[\"']?(?:canonical|alternate|licen[sc]e|author|me"
    r"|help)\b[^<>]{0,200}$"
    r"|<meta\s[^<>]{0,100}(?:property|name)\s{0,5}=[^<>]{0,100}content\s{0,5}=\s{0,5}[\"']?$"
    r"|<!DOCTYPE\s[^<>]{0,200}$"
    r"|(?:xmlns(?::[\w-]{1,30})?|targetNamespace|namespace|schemaLocation"
    r"|systemId)\s{0,5}=\s{0,5}[\"'][^\"']{0,300}$"
    r"|<(?:scm|licen[sc]e|organization|issueManagement|ciManagement|developer)>.{0,200}$"
    r"|\bCOMMENT\s+(?:ON\s.{1,120}\sIS\s+)?'[^']{0,300}$",
    re.IGNORECASE,
)
"""Text before an address that a person may click."""
# the first rule that fits decides; a place that says nothing carries metadata
_RULES: tuple[tuple[str, str, tuple[Payload, ...]], ...] = (
    (r"owner_declarations|audit\.waivers", "declaration", ()),
    (r"^data\.events\.", "storage", (_P, _M, _D)),  # whatever the team calls its table
    (
        r"model_card\.toml|project[._]urls|homepage|documentation|\bprivacy|\$schema"
        r"|(^|\.)(description|title"
        r"|licen[sc]e(\.url)?|help|epilog|summary|site_url|repo_url|xmlns[:\w]*|schema"
        r"|funding(\.url)?|bugs\.url"
        r"|authors?(\.url)?|maintainers(\.url)?|contact(_info)?(\.url)?|licen[sc]e_info\.url"
        r"|externaldocs\.url|termsofservice|\$id|\$ref"
        r"|examples?|contact_links(\.url)?|badges?|references?|see_?also"
        r"|scm\.url|metadata\.(url|download_url))$"
        r"|(^|[._-])(docs|docs?_?url|help_?url|docs_link|badge_?url|image\.source|image\.url"
        r"|youtube|video|slides|blog"
        r"|twitter|linkedin|website)$",
        "link",
        (),
    ),
    (r"(^|[._-])no_?proxy$", "link", ()),  # what does not go through the proxy
    # a proxy sees all that passes, whatever the program behind it sends
    (
        r"(?:^|[._\s-]|https?|all|socks5?)prox(?:y|ies)"
        r"(?:[._-]?(?:url|uri|host|servers?|addr(?:ess)?|https?|all))*$",
        "compute",
        (_P, _M, _D),
    ),
    (r"vulnerability_service", "ci", (_D,)),
    (r"telemetry|analytics|sentry|otel|otlp|posthog|segment|datadog|statsd", "telemetry", (_T,)),
    (
        r"index.?url|find.?links|requirements|trusted.?host|\bpip\b|(^|\.)(\w+-)?dependencies(\.|$)"
        r"|^tool\.(uv|poetry|pdm|hatch|pixi|rye|pip-tools)\.|image\.registry$",
        "ci",
        (_C,),
    ),
    (r"mlflow_s3|artifact", "storage", (_M, _D)),
    (r"mlflow|tracking|registry_uri|wandb|comet|neptune|clearml", "tracking", (_M, _D)),
    (
        r"feast|feature_store|redis|online_store|offline_store|connection_string",
        "feature_store",
        (_P,),
    ),
    (r"database|postgres|decision_log|\bdsn\b|sql", "storage", (_P,)),
    (
        r"s3|bucket|endpoint|\.dvc|remote \"|storage|raw|transactions|customers|input",
        "storage",
        (_P, _M, _D),
    ),
    (r"sota|serv(e|ing|ice)|predict|inference|deploy", "serving", (_P, _M)),
    (r"kfp|kubeflow|pipeline", "compute", (_P, _D)),
    (r"monitor|metrics|grafana|prometheus|loki", "monitoring", (_D,)),
    (
        r"pre-commit|\.git|(?<![a-z])(repos?|repository|repositories|uses|include)(?![a-z])"
        r"|workflow|woodpecker|Dockerfile"
        r"|(^|\.)template$",
        "ci",
        (_C,),
    ),
    (r"allowed_hosts|egress|host|allow", "compute", (_P, _D)),
)
_SCHEMES: tuple[tuple[str, str, tuple[Payload, ...]], ...] = (
    (r"redis", "feature_store", (_P,)),
    (r"postgres|mysql|mongodb|snowflake", "storage", (_P,)),
    (r"(s3|gs|gcs|abfs|wasb|adl|az|r2|b2|hf|gdrive|dbfs|oci)", "storage", (_P, _M, _D)),
)


def context(file: str, key: str, address: str) -> tuple[str, tuple[Payload, ...]]:
    """Return the component and payload of an address.

    Its key decides, then its scheme, then the file. Without any of them it is metadata.
    """
    place = _of_place(file, key, address)
    if place is not None:
        return place
    scheme = address.partition(":")[0].lower()
    by_scheme = [row[1:] for row in _SCHEMES if re.match(row[0], scheme)]
    # A variable set in a Dockerfile or workflow is a setting of the program, not code that is
    # fetched.
    name = key.rpartition(".")[2]
    plain = re.sub(
        r"\{\{.{0,60}?\}\}", "", file
    )  # what a variable in a path is called says nothing
    by_file = [] if re.fullmatch(r"[A-Z][A-Z0-9_]*", name) else _match(plain)
    return (*_match(key), *by_scheme, *by_file, ("other", (_D,)))[0]


_TEMPLATE_ENDING = re.compile(
    r"(?<=.)\.(?:tmpl|tpl|gotmpl|j2|jinja2?|mustache|erb|template|example|sample|dist|default|orig"
    r"|bak)$",
    re.I,
)


@lru_cache(maxsize=4096)
def fits(file: str, pattern: str) -> bool:
    """Return True if the file's name, or its path for a pattern with a slash, matches.

    ``README.md.tmpl`` is a README and ``config.toml.example`` is TOML.
    """
    name = file if "/" in pattern else file.rpartition("/")[2]
    return fnmatch(name, pattern) or fnmatch(plain_name(name), pattern)


def plain_name(name: str) -> str:
    """Return the name of the file that a template produces."""
    return _TEMPLATE_ENDING.sub("", name)


@lru_cache(maxsize=4096)
def _of_file(name: str) -> str:
    """Return "packages", "document" or nothing, from the name of a file alone."""

    def any_fits(patterns: tuple[str, ...]) -> bool:
        return any(fits(name, pattern) for pattern in patterns)

    if any_fits(_REQUIREMENTS) or (any_fits(_LOCKS) and not any_fits(_DATA_LOCKS)):
        return "packages"
    return "document" if any_fits(DOCUMENTS) else ""


def _of_place(file: str, key: str, address: str) -> tuple[str, tuple[Payload, ...]] | None:
    """Return component and payload where the file or the key decides them, else None."""
    name = file.rpartition("/")[2]
    page = _PAGE.match(address)
    if _NAMESPACE.match(address) or (
        page and (not page.group(1) or look_up(page.group(1).lower()))
    ):
        return "link", ()
    # an import in Go is written like an address without a scheme
    is_import = name.endswith(".go") and "://" not in address and not key
    listed = name.endswith(".txt") and re.search(r"(^|/)requirements/", file)
    # git+https:// is how package managers write where code comes from
    if (
        is_import
        or listed
        or address.startswith(("git+", "docker-image://"))
        or _of_file(name) == "packages"
    ):
        return "ci", (_C,)
    if key.endswith("href") and name.endswith((".js", ".ts", ".jsx", ".tsx")):
        return "link", ()
    chart_link = name == "Chart.yaml" and re.match(r"(home|sources|icon|maintainers)\b", key)
    if chart_link or re.search(r"(^|/)\.?licen[cs]es?/", file):
        return "link", ()
    # NAME=value in a text is a setting that people copy. R writes the fields of its DESCRIPTION in
    # the same way.
    setting = (
        name != "DESCRIPTION" and re.search(r"^[A-Z_]+$", key) and not _PLACEHOLDER.search(address)
    )
    if (_of_file(name) == "document" and not setting) or file.startswith(_EDITORS):
        return "link", ()
    return None


@lru_cache(maxsize=4096)
def is_lock(file: str) -> bool:
    """Return True for a lock file of packages."""
    name = file.rpartition("/")[2]
    return any(fits(name, pattern) for pattern in _LOCKS) and name not in _DATA_LOCKS


@lru_cache(maxsize=4096)
def is_document(file: str) -> bool:
    """Return True for a text for people."""
    return any(fits(file, pattern) for pattern in DOCUMENTS)


def component_of(carries: tuple[Payload, ...]) -> str:
    """Return the component that usually receives these payloads."""
    return {_P: "storage", _M: "tracking", _D: "storage", _T: "telemetry", _C: "ci"}[carries[0]]


def _match(text: str) -> list[tuple[str, tuple[Payload, ...]]]:
    return [row[1:] for row in _RULES if re.search(row[0], text, re.IGNORECASE)]
