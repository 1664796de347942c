"""Every place where an address can hide: what is planted there is found, with file, line, class and payload."""

import json
import tomllib
from datetime import date
from pathlib import Path

import pytest

from sovereign_ml.audit import AddressFinding, AuditPolicy, Severity, audit

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
        row for row in errors if (row.mention.line, row.seen.host) == (case["line"], case["host"])
    ]
    assert found.mention.file == case["file"]
    assert found.seen.jurisdiction == case["class"]
    assert found.mention.carries[0] == case["payload"]


@pytest.mark.parametrize(("file", "text", "line", "host"), NOTICED)
def test_a_code_pull_is_a_supply_chain_notice(tmp_path, file, text, line, host):
    (found,) = planted(tmp_path, file, text)
    assert (found.mention.line, found.seen.host, found.severity) == (line, host, Severity.NOTICE)
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
    assert [row.seen.host for row in planted(tmp_path, ".cruft.json", text)] == [
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
    assert {row.where: row.seen.jurisdiction.value for row in findings} == {
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
    assert found[0].seen.provider == provider


def test_an_s3_address_goes_to_the_endpoint_of_its_own_section_first(tmp_path):
    text = (
        "['remote \"eu\"']\n    url = s3://b\n    endpointurl = https://s3.fr-par.scw.cloud\n"
        "['remote \"old\"']\n    url = s3://c\n    endpointurl = https://s3.wasabisys.com\n"
    )
    found = planted(tmp_path, ".dvc/config", text)
    by_line = {row.mention.line: row.seen.provider for row in found}
    assert by_line == {2: "Scaleway", 3: "Scaleway", 5: "Wasabi", 6: "Wasabi"}


def test_a_bare_scheme_in_code_is_no_address(tmp_path: Path) -> None:
    (tmp_path / "code.py").write_text(
        'REMOTE = path.startswith("s3://")\nCOPY = "s3://bucket/key"\n'
    )
    found = audit(tmp_path, AuditPolicy(), today=date(2026, 11, 24)).findings
    assert [(f.mention.line, f.address) for f in found] == [(2, "s3://bucket/key")]
