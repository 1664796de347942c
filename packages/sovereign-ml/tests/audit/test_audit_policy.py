"""The policy decides: payload by class, waivers that end, owners that are declared, and what the report says."""

import json
import re
import subprocess
import tomllib
from datetime import date
from pathlib import Path

import pytest
from pydantic import ValidationError

from small_project import PROJECT
from sovereign_ml.audit import (
    AddressWaiver,
    AuditPolicy,
    Declaration,
    Report,
    Severity,
    audit,
    declarations,
    hosting,
)
from sovereign_ml.card.schema.facts_data import Host
from sovereign_ml.jurisdictions import storage_presets

TODAY = date(2026, 11, 24)
OWN = {"upcloud": "https://ab12c.upcloudobjects.com", "self-hosted": "https://s3.acme.example"}


def report(root: Path, text: str, policy: AuditPolicy | None = None, **more) -> Report:
    (root / "config.toml").write_text(text)
    return audit(root, policy or AuditPolicy(), today=TODAY, project="acme-churn", **more)


def tracking(host: str) -> str:
    return f'[profile.eu]\ntracking_uri = "https://{host}"\n'


@pytest.mark.parametrize("name", storage_presets())
def test_a_project_on_any_preset_and_forge_has_no_finding_above_notice(tmp_path, name):
    row = storage_presets()[name]
    endpoint = OWN.get(name) or row["endpoint"].format(region=next(iter(row["regions"])))
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc" / "config").write_text(
        f"['remote \"eu\"']\n    url = s3://acme-churn/dvc\n    endpointurl = {endpoint}\n"
    )
    for forge in (".github", ".forgejo"):
        (tmp_path / forge / "workflows").mkdir(parents=True)
        (tmp_path / forge / "workflows" / "ci.yml").write_text(
            "jobs: {a: {steps: [{uses: actions/checkout@v4}]}}"
        )
    found = report(tmp_path, tracking("mlflow.example.eu"))
    assert len(found.findings) >= 5
    assert not [row for row in found.findings if row.severity > Severity.NOTICE]


def test_aws_r2_eu_and_a_us_registry_are_refused_each_with_its_own_reason(tmp_path):
    found = report(
        tmp_path,
        "[profile.eu]\n"
        'offline_store = "https://s3.eu-central-1.amazonaws.com/feast"\n'
        's3_endpoint = "https://acct.eu.r2.cloudflarestorage.com"\n'
        'image = "ghcr.io/acme/acme-churn:1"\n',
    )
    aws, r2, registry = (row.message for row in found.refused(AuditPolicy()))
    assert "personal data may not go here: an EU region of Amazon Web Services" in aws
    assert "parent Amazon.com, Inc. is under US law" in aws
    assert "an EU region of Cloudflare" in r2
    assert "model may not go here: GitHub is under US law" in registry


def test_an_unknown_host_needs_its_owner_declared(tmp_path):
    text = tracking("mlflow.acme.de")
    (found,) = report(tmp_path, text).findings
    assert found.severity is Severity.WARNING
    assert (
        "declare its owner in model_card.toml under [[hosting.owner_declarations]]" in found.message
    )
    (found,) = report(tmp_path, text, strict=True).findings
    assert found.severity is Severity.ERROR
    (found,) = report(
        tmp_path, text, strict=True, declared=[Declaration(hostname="acme.de", complete=True)]
    ).findings
    assert found.severity is Severity.NOTICE


def test_a_line_for_people_cuts_the_digest_of_an_image_and_json_keeps_it(tmp_path):
    found = report(tmp_path, f'[deploy]\nbase_image = "ghcr.io/a/python:3@sha256:{"0" * 64}"\n')
    assert "ghcr.io/a/python:3@sha256:00000000…  US" in found.lines()[0]
    assert found.to_json()["findings"][0]["address"].endswith("0" * 64)


def test_a_placeholder_registry_is_called_one_whatever_it_carries(tmp_path):
    (found,) = report(
        tmp_path, '[deploy]\nbase_image = "registry.example.eu/python:3"\n', strict=True
    ).findings
    assert (found.severity, found.message) == (
        Severity.NOTICE,
        "code: registry.example.eu is a placeholder, put in the real host",
    )


@pytest.mark.parametrize("host", ["notacme.de", "acme.de.evil.example.net", "acme.com"])
def test_a_declaration_covers_its_host_and_subdomains_only(tmp_path, host):
    declared = [Declaration(hostname="acme.de", complete=True)]
    (found,) = report(tmp_path, tracking(host), strict=True, declared=declared).findings
    assert found.severity is Severity.ERROR


def test_declaring_a_us_host_as_ones_own_changes_nothing(tmp_path):
    declared = [Declaration(hostname="wandb.ai", complete=True)]
    (found,) = report(tmp_path, tracking("api.wandb.ai"), declared=declared).findings
    assert found.severity is Severity.ERROR


def test_a_declaration_with_open_answers_and_a_placeholder_are_errors_in_the_eu_profile_only(
    tmp_path,
):
    card = {
        "hosting": {
            "owner_declarations": [{"hostname": "mlflow.acme.de", "provider": "?", "country": "DE"}]
        }
    }
    for text, declared in [
        (tracking("mlflow.acme.de"), declarations(card)),
        (tracking("mlflow.example.eu"), []),
    ]:
        assert report(tmp_path, text, declared=declared).findings[0].severity is Severity.NOTICE
        assert (
            report(tmp_path, text, declared=declared, strict=True).findings[0].severity
            is Severity.ERROR
        )


def test_a_complete_declaration_is_read_from_the_card():
    row = {
        "hostname": "S3.acme.de",
        "provider": "Acme",
        "country": "DE",
        "parent": "none",
        "date": date(2026, 1, 2),
    }
    assert declarations({"hosting": {"owner_declarations": [row]}}) == [
        Declaration(hostname="s3.acme.de", complete=True, provider="Acme", country="DE")
    ]
    assert declarations({}) == []


@pytest.mark.parametrize(
    ("provider", "country", "parent", "expected"),
    [
        ("Acme GmbH", "DE", "none", "SELF_DECLARED NOTICE"),
        ("Amazon", "US", "Amazon.com, Inc.", "US ERROR"),
        ("Amazon Web Services EMEA SARL", "LU", "none", "US_PARENT_EU_REGION ERROR"),
        ("Acme GmbH", "DE", "Acme Corp (US)", "US_PARENT_EU_REGION ERROR"),
        ("Acme GmbH", "de", "Snowflake", "US_PARENT_EU_REGION ERROR"),
        ("Acme GmbH", "DE", "Big Holding, Inc.", "US_PARENT_EU_REGION ERROR"),
        ("Acme GmbH", "DE", "Alibaba Group", "EU_HQ_FOREIGN_OWNER NOTICE"),
        *(
            ("Acme GmbH", "DE", parent, "US_PARENT_EU_REGION ERROR")
            for parent in ("Big Holding (USA)", "Big Group, United States", "Big Group (U.S.)")
        ),
        *(
            ("Acme GmbH", "DE", parent, "SELF_DECLARED ERROR")
            for parent in ("unknown", "n/a", "I do not know", "tbc", "not known yet?")
        ),
        ("unbekannt", "DE", "none", "SELF_DECLARED ERROR"),
        ("Acme GmbH", "DE", "-", "SELF_DECLARED NOTICE"),
        ("Acme GmbH", "DE", "Big Stiftung", "SELF_DECLARED NOTICE"),
        ("Acme Ltd", "GB", "none", "ADEQUATE_NON_EU NOTICE"),
        ("Acme", "CN", "none", "OTHER_THIRD_COUNTRY ERROR"),
        ("Acme", "unknown", "none", "SELF_DECLARED ERROR"),
        ("Acme", "n/a", "none", "SELF_DECLARED ERROR"),
        ("Acme", "I do not know", "none", "SELF_DECLARED ERROR"),
        ("Acme", "XX", "none", "SELF_DECLARED ERROR"),
        ("Acme", "Germany", "none", "SELF_DECLARED ERROR"),
    ],
)
def test_an_honest_declaration_decides_the_class(tmp_path, provider, country, parent, expected):
    row = {"hostname": "acme.de", "provider": provider, "country": country, "parent": parent}
    declared = declarations({"hosting": {"owner_declarations": [row | {"date": TODAY}]}})
    (found,) = report(tmp_path, tracking("ml.acme.de"), strict=True, declared=declared).findings
    assert f"{found.classification.jurisdiction.value} {found.severity.name}" == expected


WAIVER = "# audit-waiver: owner=CTO, reason=contract ends in March, until="


@pytest.mark.parametrize(
    ("comment", "severity", "message"),
    [
        (f"{WAIVER}2026-11-24", Severity.NOTICE, "Waived on this line by CTO until 2026-11-24"),
        (f"{WAIVER}2026-11-23", Severity.ERROR, "of CTO on this line ended on 2026-11-23"),
        (f"{WAIVER}2027-11-25", Severity.NOTICE, "Waived on this line by CTO until 2027-11-25"),
        (f"{WAIVER}2027-11-26", Severity.ERROR, "may run until 2027-11-25 at most: one year"),
        (f"{WAIVER}soon", Severity.ERROR, "wrong or missing: until"),
        (
            "# audit-waiver: reason=contract ends, until=2027-01-01",
            Severity.ERROR,
            "missing: owner",
        ),
        ("# audit-waiver: owner=CTO, until=2027-01-01", Severity.ERROR, "missing: reason"),
        ("# audit-waiver:", Severity.ERROR, "owner"),
        ("# waived", Severity.ERROR, "is under US law"),
    ],
)
def test_one_line_can_be_waived_with_owner_reason_and_end(tmp_path, comment, severity, message):
    text = f'[profile.eu]\ntracking_uri = "https://api.wandb.ai" {comment}\n'
    (found,) = report(tmp_path, text).findings
    assert found.severity is severity
    assert message in found.message


@pytest.mark.parametrize("sign", ["\x0c", "\u2028", "\x85"])
def test_a_separator_within_a_line_moves_no_waiver_to_another_line(tmp_path, sign):
    """Python counts lines by line feeds only. A form feed, say, must not shift what is waived."""
    text = f'A = "{sign}"\n{WAIVER}2026-11-24\nB = "https://api.wandb.ai"\n'
    (tmp_path / "send.py").write_text(text, encoding="utf-8")
    (found,) = report(tmp_path, "").findings
    assert (found.severity, found.mention.line) == (Severity.ERROR, 3)


def waiver(until: date, payload: str = "model") -> AuditPolicy:
    row = {
        "host": "wandb.ai",
        "payload": payload,
        "owner": "CTO",
        "reason": "moving out in March",
        "until": until,
    }
    return AuditPolicy.model_validate({"waivers": [row]})


def test_a_waiver_holds_until_its_date_and_for_its_payload_only(tmp_path):
    text = '[pipeline]\nimage = "wandb.ai/acme/acme-churn:1"\n'
    (found,) = report(tmp_path, text, waiver(TODAY)).findings
    assert found.severity is Severity.NOTICE
    assert "Waived by CTO until 2026-11-24: moving out in March" in found.message
    (found,) = report(tmp_path, text, waiver(date(2026, 11, 23))).findings
    assert found.severity is Severity.ERROR
    assert "The waiver of CTO ended on 2026-11-23" in found.message
    (found,) = report(tmp_path, text, waiver(date(2099, 1, 1))).findings
    assert found.severity is Severity.ERROR
    assert "The waiver of CTO runs until 2099-01-01, and may run until 2027-11-25" in found.message
    # Beside it the one of today holds.
    both = AuditPolicy(waivers=(*waiver(date(2099, 1, 1)).waivers, *waiver(TODAY).waivers))
    (found,) = report(tmp_path, text, both).findings
    assert "until 2026-11-24" in found.message
    (found,) = report(tmp_path, text, waiver(TODAY, "telemetry")).findings
    assert found.severity is Severity.ERROR


@pytest.mark.parametrize(
    ("host", "domain"), [("api.wandb.ai", "ai"), ("x.acme.co.uk", "co.uk"), ("x.acme.de", "de")]
)
def test_neither_waiver_nor_declaration_covers_hosts_of_strangers(tmp_path, host, domain):
    row = {"owner": "CTO", "reason": "moving out in March", "until": TODAY, "payload": "model"}
    both = (
        AddressWaiver(host=domain, **row),
        AddressWaiver(host=domain, **row | {"payload": "metadata"}),
    )
    answers = {"provider": "Acme", "country": "DE", "parent": "none", "date": TODAY}
    declared = declarations({"hosting": {"owner_declarations": [answers | {"hostname": domain}]}})
    (seen,) = report(
        tmp_path, tracking(host), AuditPolicy(waivers=both), strict=True, declared=declared
    ).findings
    assert seen.severity is Severity.ERROR


@pytest.mark.parametrize("missing", ["owner", "reason", "until"])
def test_a_waiver_without_owner_reason_or_end_is_no_waiver(missing):
    row = {
        "host": "wandb.ai",
        "payload": "model",
        "owner": "CTO",
        "reason": "moving out in March",
        "until": TODAY,
    }
    with pytest.raises(ValidationError, match=missing):
        AddressWaiver.model_validate({key: value for key, value in row.items() if key != missing})


def test_a_stricter_policy_refuses_what_the_default_lets_pass(tmp_path):
    text = '[profile.eu]\ns3_endpoint = "https://fsn1.your-objectstorage.com"\n'
    assert report(tmp_path, text).findings[0].severity is Severity.NOTICE
    strict = AuditPolicy.model_validate(
        {"allow": {"personal_data": ["EU_OWNED"], "model": ["EU_OWNED"]}}
    )
    found = report(tmp_path, text, strict).findings[0]
    assert found.severity is Severity.ERROR
    assert "Hetzner (DE) also has companies or regions in the US" in found.message


def test_the_report_fails_from_the_severity_that_the_policy_names(tmp_path):
    found = report(tmp_path, tracking("mlflow.acme.de"))
    assert found.refused(AuditPolicy()) == []
    assert len(found.refused(AuditPolicy(fail_on="warning"))) == 1


def test_sarif_has_the_shape_that_forges_read(tmp_path):
    log = json.loads(json.dumps(report(tmp_path, tracking("api.wandb.ai")).to_sarif()))
    assert log["version"] == "2.1.0"
    (run,) = log["runs"]
    (rule,) = run["tool"]["driver"]["rules"]
    assert rule == {"id": "US", "shortDescription": {"text": "Under US law"}}
    (result,) = run["results"]
    assert result["level"] == "error"
    assert result["ruleId"] == run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"]
    place = result["locations"][0]["physicalLocation"]
    assert place == {"artifactLocation": {"uri": "config.toml"}, "region": {"startLine": 2}}
    assert "Weights & Biases is under US law" in result["message"]["text"]


def test_the_table_shows_markup_like_text_as_it_is(tmp_path):
    from rich.console import Console

    console = Console(record=True, width=300, file=(tmp_path / "table").open("w"))
    console.print(report(tmp_path, tracking("mlflow.acme.de")).table())
    assert "[[hosting.owner_declarations]]" in console.export_text()


def test_the_hosting_list_fits_the_model_card(tmp_path):
    text = (
        '[profile.eu]\ns3_endpoint = "https://s3.fr-par.scw.cloud"\nraw_bucket = "s3://acme/raw"\n'
        'tracking_uri = "https://api.wandb.ai"\n'
    )
    rows = [Host.model_validate(row) for row in hosting(report(tmp_path, text).findings)]
    storage, tracker = rows
    assert (storage.hostname, storage.provider, storage.region) == (
        "s3.fr-par.scw.cloud",
        "Scaleway",
        "fr-par",
    )
    assert storage.config == "config.toml:2"
    assert storage.carries == ("personal_data", "model", "metadata")
    assert storage.allowed
    assert (tracker.jurisdiction_class, tracker.us_nexus, tracker.allowed) == ("US", True, False)


def test_a_bucket_is_not_taken_for_a_host_in_the_hosting_list(tmp_path):
    (row,) = hosting(report(tmp_path, 'source = "s3://bucket/raw.csv"\n').findings)
    assert (row["hostname"], row["jurisdiction_class"], row["allowed"]) == (
        "Amazon Web Services",
        "US",
        False,
    )


def test_the_remote_of_a_real_git_repository_is_read(tmp_path):
    for command in (["init", "-q"], ["remote", "add", "origin", "git@github.com:acme/churn.git"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    (found,) = audit(tmp_path, AuditPolicy(), today=TODAY).findings
    assert (found.mention.file, found.classification.provider, found.severity) == (
        ".git/config",
        "GitHub",
        Severity.NOTICE,
    )


def test_what_the_docs_say_to_paste_is_a_whole_declaration_and_a_valid_waiver():
    text = (PROJECT / "docs" / "audit.md").read_text(encoding="utf-8")
    declared, waived, _ = (
        tomllib.loads(block) for block in re.findall(r"```toml\n(.+?)```", text, re.DOTALL)
    )
    assert [row.complete for row in declarations(declared)] == [True]
    assert len(AuditPolicy.model_validate(waived["audit"]).waivers) == 1
