"""Waivers of the checklist, and its findings as SARIF."""

from __future__ import annotations

import json
import re
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from sagemaker_double import Account, arn, at, dumped, store
from small_project import load
from sovereign_ml.audit.sarif import SCHEMA
from sovereign_ml.cli.main import application
from sovereign_ml.config.leaving import FindingWaiver
from sovereign_ml.errors import Refused
from sovereign_ml.leaving.findings.waivers import Waivers

NOW = datetime(2026, 11, 21, tzinfo=UTC)
TODAY = NOW.date()
OWN = {"KmsKeyId": "own"}
GROUP = {
    "FeatureGroupName": "shops",
    "RecordIdentifierFeatureName": "user_id",
    "EventTimeFeatureName": "event_time",
    "FeatureDefinitions": [{"FeatureName": "purchase_count_30d", "FeatureType": "Integral"}],
    "OfflineStoreConfig": {"S3StorageConfig": {"S3Uri": "s3://x", **OWN}},
}
ENDPOINT = {
    **{"EndpointName": "live", "EndpointArn": arn("endpoint", "live"), "EndpointConfigName": "c"},
    **{"EndpointStatus": "InService", "CreationTime": at(0), "LastModifiedTime": at(0)},
}
GOOD: dict[str, Any] = {
    "rule": "L01",
    "where": "shops",
    "owner": "J. Roth",
    "reason": "both systems run until the end of March",
    "until": date(2027, 3, 31),
}


def problems(*waivers: dict[str, Any], findings: set[tuple[str, str]]) -> list[str]:
    held = Waivers([FindingWaiver(**row) for row in waivers], TODAY)
    for rule, where in findings:
        held.of(rule, where)
    return [problem.rule for problem in held.problems({"L01", "L05"})]


@pytest.mark.parametrize(
    ("change", "rules"),
    [
        ({}, []),
        ({"until": TODAY}, []),
        ({"until": date(2026, 11, 20)}, ["L52"]),
        ({"until": TODAY + timedelta(days=367)}, ["L52"]),
        ({"until": None}, ["L51"]),
        ({"reason": ""}, ["L51"]),
        ({"reason": "because"}, ["L51"]),
        ({"owner": ""}, ["L51"]),
        ({"where": "shop"}, ["L53"]),
        ({"rule": "L05"}, ["L53"]),
        # What was not looked at needs no finding.
        ({"rule": "C10"}, []),
    ],
)
def test_only_a_whole_waiver_of_today_and_of_a_finding_holds(
    change: dict[str, Any], rules: list[str]
) -> None:
    assert problems({**GOOD, **change}, findings={("L01", "shops")}) == rules
    held = Waivers([FindingWaiver(**{**GOOD, **change})], TODAY).of("L01", "shops")
    assert bool(held) == (rules == [] and change.get("rule") is None)


def test_the_command_lets_waived_findings_pass_and_writes_sarif(
    new_project: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:  # fmt: skip
    root = new_project()
    config = (root / "config.toml").read_text()
    monkeypatch.setattr("sovereign_ml.cli.leave.look.load_settings", lambda _: load(root))
    monkeypatch.setattr("sovereign_ml.cli.leave.look.now", lambda: NOW)
    code = tmp_path / "code"
    folder = dumped(
        Account(runs=0).emptied(), tmp_path / "dump", datetime(2026, 11, 20, tzinfo=UTC)
    )
    (folder / "endpoints").mkdir()
    (folder / "endpoints/live.json").write_text(json.dumps(ENDPOINT))
    groups = json.dumps({"Results": [{"FeatureGroup": GROUP}]})
    (folder / "search/FeatureGroup.json").write_text(groups)
    store(folder / "offline/shops", [(f"u{n}", 10, 11, 12, False, 1) for n in (1, 2)])
    code.mkdir()
    (code / "old train.py").write_text("import math\nimport boto3\n")
    file = tmp_path / "audit.sarif"

    def call(*waivers: dict[str, Any]) -> dict[str, Any]:
        text = "".join(
            "\n[[leave.waivers]]\n"
            + "".join(
                f"{name} = {json.dumps(value) if isinstance(value, str) else value}\n"
                for name, value in row.items()
            )
            for row in waivers
        )
        (root / "config.toml").write_text(config + text)
        words = ["leave", "audit", str(folder), "--code", str(code), "--sarif", str(file)]
        application()(words, standalone_mode=False)
        return json.loads(file.read_text())

    use = {**GOOD, "rule": "C30", "where": "old train.py"}
    with pytest.raises(Refused, match="1 uses"):
        call(GOOD)
    log = call(GOOD, use)
    shown = capsys.readouterr().out
    assert "shops, waived by J. Roth until 2027-03-31: both systems" in shown
    rows = log["runs"][0]["results"]
    assert [row["ruleId"] for row in rows] == ["L01", "L44", "C30"]
    assert ["suppressions" in row for row in rows] == [True, False, True]
    holds_to_sarif(log)
    with pytest.raises(Refused, match="2 errors of 3 findings"):
        call({**GOOD, "until": date(2026, 11, 1)}, use)
    holds_to_sarif(json.loads(file.read_text()))
    assert "that of J. Roth ended on 2026-11-01" in file.read_text()
    # A waiver that matches nothing is named, and refuses nothing.
    call(GOOD, use, {**GOOD, "where": "shop"})
    assert "a waiver matches no finding" in capsys.readouterr().out


def holds_to_sarif(log: dict[str, Any]) -> None:
    """What the schema of SARIF 2.1.0 requires of the members that are written (OASIS, 3.13-3.52)."""
    assert log.keys() == {"$schema", "version", "runs"}
    assert (log["$schema"], log["version"]) == (SCHEMA, "2.1.0")
    (run,) = log["runs"]
    rules = run["tool"]["driver"]["rules"]
    names = [rule["id"] for rule in rules]
    assert len(set(names)) == len(names)
    for rule in rules:
        assert rule["shortDescription"]["text"]
        assert rule["help"]["text"]
        assert rule["defaultConfiguration"]["level"] in {"none", "note", "warning", "error"}
    for result in run["results"]:
        assert names[result["ruleIndex"]] == result["ruleId"]
        assert result["level"] in {"none", "note", "warning", "error"}
        assert result["message"]["text"]
        for location in result["locations"]:
            place = location["physicalLocation"]
            # A relative reference without spaces, as RFC 3986 has it.
            assert re.fullmatch(r"[\w.~%/-]+", place["artifactLocation"]["uri"])
            assert not place["artifactLocation"]["uri"].startswith("/")
            assert place["region"]["startLine"] >= 1
        for suppression in result.get("suppressions", ()):
            assert suppression["kind"] in {"inSource", "external"}
            assert suppression["status"] in {"accepted", "underReview", "rejected"}
            assert suppression["justification"]
    assert all(isinstance(row["executionSuccessful"], bool) for row in run["invocations"])
