"""Every place where an address can hide: what is planted there is found, with file, line, class and payload."""

import json
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest

from sovereign_ml.audit import AddressFinding, AuditPolicy, Severity, audit
from spots import RIGHT, table, worst

TODAY = date(2026, 11, 24)

DATA = Path(__file__).parents[1] / "data"
PLANTED = tomllib.loads((DATA / "planted.toml").read_text())["planted"]

NOTICED = [
    ("Dockerfile", "# syntax=docker/dockerfile:1\nFROM scratch\n", 1, "docker.io"),
    ("Dockerfile", "ARG BASE=python:3.11-slim\nFROM ${BASE} AS build\nFROM build\n", 2, "docker.io"),
    ("Dockerfile", "FROM scratch\nCOPY --from=ghcr.io/astral-sh/uv:1 /uv /uv\n", 2, "ghcr.io"),
    (".github/workflows/ci.yml", "jobs:\n  a:\n    steps:\n    - uses: actions/checkout@v4\n", 4, "github.com"),
    (".github/workflows/ci.yml", "jobs:\n  a:\n    runs-on: ubuntu-24.04\n", 3, "github.com"),
    (".forgejo/workflows/ci.yml", "jobs:\n  a:\n    steps:\n    - uses: actions/checkout@v4\n", 4, "github.com"),
    (".forgejo/workflows/ci.yml", "jobs:\n  a:\n    container:\n      image: node:22\n", 4, "docker.io"),
    (".woodpecker/ci.yaml", "steps:\n- name: test\n  image: mcr.microsoft.com/python\n", 3, "mcr.microsoft.com"),
    (".gitlab-ci.yml", "image:\n  name: python:3.11\n", 2, "docker.io"),
    (".gitlab-ci.yml", "test:\n  services:\n  - postgres:17\n", 3, "docker.io"),
    (".gitlab-ci.yml", "include:\n- remote: https://gitlab.com/a/b/raw/main/x.yml\n", 2, "gitlab.com"),
    (".pre-commit-config.yaml", "repos:\n- repo: https://github.com/astral-sh/ruff\n", 2, "github.com"),
    ("requirements/train.in", "numpy\nchurn @ git+https://github.com/acme/churn@v1\n", 2, "github.com"),
    (".gitmodules", '[submodule "x"]\n\turl = git@github.com:acme/x.git\n', 2, "github.com"),
    (".cruft.json", '{\n "template": "https://github.com/acme/template",\n "commit": "a"\n}\n', 2, "github.com"),
    (".cruft.json", '{\n "template": "git@gitlab.com:acme/template.git"\n}\n', 2, "gitlab.com"),
    (".git/config", '[remote "origin"]\n\turl = git@gitlab.com:acme/churn.git\n', 2, "gitlab.com"),
    ("src/churn/pipeline.py", "task = component(base_image='python:3.11')\n", 1, "docker.io"),
]  # fmt: skip


def planted(root: Path, file: str, text: str, **more) -> list[AddressFinding]:
    path = root / file
    if file.startswith(".git/"):  # the audit asks git, which answers for a whole repository only
        subprocess.run(["git", "init", "-q", str(root)], check=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return list(audit(root, AuditPolicy(), today=TODAY, project="acme-churn", **more).findings)


@pytest.mark.parametrize("case", PLANTED, ids=lambda case: f"{case['file']}:{case['host']}")
def test_a_planted_violation_is_found_and_refused(tmp_path, case):
    errors = [
        row
        for row in planted(tmp_path, case["file"], case["text"])
        if row.severity is Severity.ERROR
    ]
    (found,) = [
        row
        for row in errors
        if (row.mention.line, row.classification.host) == (case["line"], case["host"])
    ]
    assert found.mention.file == case["file"]
    assert found.classification.jurisdiction == case["class"]
    assert found.mention.carries[0] == case["payload"]


@pytest.mark.parametrize(("file", "text", "line", "host"), NOTICED)
def test_a_code_pull_is_a_supply_chain_notice(tmp_path, file, text, line, host):
    (found,) = planted(tmp_path, file, text)
    assert (found.mention.line, found.classification.host, found.severity) == (
        line,
        host,
        Severity.NOTICE,
    )
    assert [payload.value for payload in found.mention.carries] == ["code"]


@pytest.mark.parametrize(
    ("file", "text"),
    [
        (
            "src/churn/a.py",
            '"""Docs at https://github.com/x."""\nimport os.path\nx = "http://" + host\n',
        ),
        (
            "config.toml",
            '# https://s3.amazonaws.com\n[paths]\nraw = "data/1_raw"\nmodel = "model.json"\n',
        ),
        ("deploy/network.yaml", "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\n"),
        (
            "Dockerfile",
            "FROM scratch AS base\nFROM base\nCOPY --from=base /a /a\nCOPY --from=0 /a /a\n",
        ),
        (".github/workflows/ci.yml", "jobs:\n  a:\n    steps:\n    - uses: ./local\n"),
        (".forgejo/workflows/ci.yml", "jobs:\n  a:\n    runs-on: docker\n"),
        (
            ".venv/lib/python3.11/site-packages/sovereign_ml/jurisdictions/providers.toml",
            'suffixes = ["amazonaws.com"]\n',
        ),
        (
            ".cruft.json",
            '{"template": "/srv/template", "context": {"url": "https://s3.amazonaws.com"}}',
        ),
        (
            ".cruft.json",
            '{"template": "../t", "context": {"cookiecutter": {"template": "https://x.wandb.ai"}}}',
        ),
        (".mypy_cache/3.11/x.data.json", '{"url": "https://s3.amazonaws.com"}\n'),
        (".ipynb_checkpoints/explore-checkpoint.ipynb", '{"url": "https://s3.amazonaws.com"}\n'),
        (".venv/lib/x.py", 'X = "https://s3.amazonaws.com"\n'),
        ("data/1_raw/x.toml", 'url = "https://s3.amazonaws.com"\n'),
    ],
)
def test_what_is_no_address_is_no_finding(tmp_path, file, text):
    assert planted(tmp_path, file, text) == []


@pytest.mark.parametrize(
    "text", ['{"s3": "https://x.wandb.ai"', "[]", '{"context": "https://x.wandb.ai"}', "null"]
)
def test_a_cruft_file_of_another_shape_is_read_like_any_other_file(
    tmp_path: Path, text: str
) -> None:
    assert [row.classification.host for row in planted(tmp_path, ".cruft.json", text)] == [
        "x.wandb.ai"
    ] * text.count("wandb")


def test_the_effective_environment_is_read_and_secrets_in_it_are_not_shown(tmp_path):
    environ = {
        "MLFLOW_TRACKING_URI": "https://user:hunter2@dagshub.com/acme.mlflow?token=hunter2",
        "REDIS_HOST": "cache.internal.acme.de",
        "PATH": "/usr/bin",
        "LANG": "en_GB.utf8",
    }
    findings = audit(tmp_path, AuditPolicy(), today=TODAY, environ=environ).findings
    assert {row.where: row.classification.jurisdiction.value for row in findings} == {
        "environment MLFLOW_TRACKING_URI": "US",
        "environment REDIS_HOST": "SELF_DECLARED",
    }
    report = audit(tmp_path, AuditPolicy(), today=TODAY, environ=environ)
    assert "hunter2" not in json.dumps([report.to_json(), report.to_sarif()])


@pytest.mark.parametrize(
    ("environ", "provider"),
    [
        ({"AWS_ENDPOINT_URL_S3": "https://s3.fr-par.scw.cloud"}, "Scaleway"),
        ({"AWS_ENDPOINT_URL": "https://s3.fr-par.scw.cloud"}, "Scaleway"),
        (
            {
                "AWS_ENDPOINT_URL": "https://s3.fr-par.scw.cloud",
                "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "true",
            },
            "Amazon Web Services",
        ),
        ({}, "Amazon Web Services"),
    ],
)
def test_an_s3_address_goes_to_the_endpoint_of_the_environment_or_to_amazon(
    tmp_path, environ, provider
):
    found = planted(tmp_path, "dvc.lock", "deps:\n- path: s3://bucket/raw.csv\n", environ=environ)
    assert found[0].classification.provider == provider


def test_an_s3_address_goes_to_the_endpoint_of_its_own_section_first(tmp_path):
    text = (
        "['remote \"eu\"']\n    url = s3://b\n    endpointurl = https://s3.fr-par.scw.cloud\n"
        "['remote \"old\"']\n    url = s3://c\n    endpointurl = https://s3.wasabisys.com\n"
    )
    found = planted(tmp_path, ".dvc/config", text)
    by_line = {row.mention.line: row.classification.provider for row in found}
    assert by_line == {2: "Scaleway", 3: "Scaleway", 5: "Wasabi", 6: "Wasabi"}


def test_a_bare_scheme_in_code_is_no_address(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        'REMOTE = path.startswith("s3://")\nCOPY = "s3://bucket/key"\n'
    )
    found = audit(tmp_path, AuditPolicy(), today=date(2026, 11, 24)).findings
    assert [(f.mention.line, f.address) for f in found] == [(2, "s3://bucket/key")]


def test_every_named_spot_ends_as_it_must(tmp_path):
    """The forms in which an address leaves or only seems to: the table says how each must end."""
    wrong = []
    for number, (outcome, kind, file, text) in enumerate(table("spots.tsv")):
        severity = worst(tmp_path / str(number), file, text)
        if severity not in RIGHT[outcome]:
            wrong.append((outcome, kind, file, text, severity))
    assert wrong == []


SMALL = {
    "compose.yaml": "services:\n  a:\n    environment:\n      MLFLOW_TRACKING_URI: ${MLFLOW_TRACKING_URI:-https://dagshub.com/acme/churn.mlflow}\n"
    "      DATABASE_URL: postgresql://app:${DB_PASSWORD}@ep-x.eu-central-1.aws.neon.tech/db\n",
    "src/churn/upload.py": 'def url(account):\n    return f"https://{account}.blob.core.windows.net/raw"\n',
    "src/churn/data/push.py": 'URL = "https://acct.blob.core.windows.net/raw"\n',
    "features/feature_store.yaml": "provider: gcp\noffline_store:\n  type: snowflake.offline\nonline_store:\n  type: dynamodb\n",
    "main.tf": 'terraform {\n  backend "s3" {\n    region = "eu-west-2"\n  }\n}\nprovider "aws" {\n  region = "eu-central-1"\n}\n',
    ".env": "MLFLOW_TRACKING_URI=databricks\n",
    "page.html": '<script src="https://cdn.segment.com/a.js"></script>\n',
}


@pytest.mark.parametrize("file", SMALL)
def test_an_ordinary_file_that_sends_data_to_the_us_is_refused_in_every_profile(tmp_path, file):
    found = planted(tmp_path, file, SMALL[file])
    errors = [row for row in found if row.severity is Severity.ERROR]
    assert len(errors) == {"compose.yaml": 2, "features/feature_store.yaml": 3, "main.tf": 2}.get(
        file, 1
    )


def test_what_is_not_read_is_named_with_its_reason_in_every_output(tmp_path):
    for name, data in {
        "a.bin": b"\0" * 10,
        "big.json": b"x" * 5_000_001,
        "rows.csv": b"a,b\n",
        "tests/a.py": b"x = 'https://api.wandb.ai'\n",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    (tmp_path / "link").symlink_to(tmp_path / "a.bin")
    report = audit(tmp_path, AuditPolicy(), today=TODAY)
    reasons = {row["file"]: row["reason"] for row in report.to_json()["not_read"]}
    assert reasons == {
        "a.bin": "binary",
        "big.json": "over 5 MB",
        "rows.csv": "table or drawing",
        "tests/a.py": "excluded by tests/*",
        "link": "symbolic link",
    }
    (run,) = report.to_sarif()["runs"]
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == len(reasons)
    assert report.unread_line().startswith("Not read: 5 files. binary 1 (a.bin)")


def test_a_file_that_git_tracks_is_read_wherever_it_lies(tmp_path):
    for folder in ("data", "build"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "a.toml").write_text('tracking_uri = "https://api.wandb.ai"\n')
    for command in (["init", "-q"], ["add", "-f", "data/a.toml"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (tmp_path / ".gitignore").write_text("build\n.env\n")
    (tmp_path / ".env").write_text("MLFLOW_TRACKING_URI=https://api.wandb.ai\n")
    found = audit(tmp_path, AuditPolicy(), today=TODAY).findings
    assert sorted(row.mention.file for row in found) == [".env", "data/a.toml"]


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://u:Geh3im@db.acme.example/x", "postgresql://***@db.acme.example/x"),
        ("postgresql://u:Geh3@im@db.acme.example/x", "postgresql://***@db.acme.example/x"),
        ("postgresql://u:Geh3/im@db.acme.example", "postgresql://***@db.acme.example"),
        ("postgresql://u:Geh3?im@db.acme.example", "postgresql://***@db.acme.example"),
        ("https://db.acme.example:8080/a@b", "https://db.acme.example:8080/a@b"),
        ("https://db.acme.example/@acme/churn", "https://db.acme.example/@acme/churn"),
    ],
)
def test_no_part_of_a_password_is_shown(tmp_path: Path, address: str, shown: str) -> None:
    found = audit(
        tmp_path, AuditPolicy(), today=date(2026, 1, 1), environ={"DATABASE_URL": address}
    )
    assert shown in {row.address for row in found.findings}
    assert not any("Geh" in row.address or "im@" in row.address for row in found.findings)


def test_the_remotes_of_a_worktree_and_of_the_repository_around_a_project_are_read(
    tmp_path: Path,
) -> None:
    def git(*words: str) -> None:
        who = ("-c", "user.name=T", "-c", "user.email=t@acme.example", "-c", "commit.gpgsign=false")
        subprocess.run(["git", "-C", str(main), *who, *words], check=True, capture_output=True)

    main, second = tmp_path / "main", tmp_path / "second"
    (main / "acme-churn").mkdir(parents=True)
    git("init", "-q")
    git("remote", "add", "origin", "git@github.com:acme/churn.git")
    git("commit", "-q", "--allow-empty", "-m", "first")
    git("worktree", "add", "-q", str(second))
    for root in (main, second, main / "acme-churn"):
        found = audit(root, AuditPolicy(), today=date(2026, 1, 1))
        assert "git@github.com:acme/churn.git" in {row.mention.address for row in found.findings}, (
            root.name
        )
