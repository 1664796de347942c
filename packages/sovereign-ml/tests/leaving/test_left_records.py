"""What the record of processing, an erasure and retention say of what was brought, and of what SageMaker still holds."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from full_card import full_card
from sagemaker_double import Account, dumped
from small_project import load, make_clone
from sovereign_ml.audit import AddressWaiver, AuditPolicy, Payload
from sovereign_ml.card.records import Sheet, article30
from sovereign_ml.card.records.document import to_html
from sovereign_ml.card.schema.facts import LeavingFacts
from sovereign_ml.cli.composition import project_stores
from sovereign_ml.data_subjects import erasure
from sovereign_ml.errors import Misuse
from sovereign_ml.leaving import progress
from sovereign_ml.leaving.dump import open_dump
from sovereign_ml.pipeline.card_facts import left_system
from sovereign_ml.pseudonyms import pseudonyms
from sovereign_ml.texts import catalogue

NOW = datetime(2026, 11, 27, tzinfo=UTC)
TODAY = NOW.date()
BROUGHT = ("runs", "registry", "cards", "features")


def reported(root: Path, dump: Path) -> LeavingFacts:
    """The facts after the commands of ``BROUGHT`` have noted what they did."""
    for step in BROUGHT:
        progress.note(root, open_dump(dump), step, {"made": 3}, NOW)
    return left_system.leaving_facts(root)


def test_the_record_names_what_was_brought_with_source_categories_and_end(tmp_path: Path) -> None:
    facts = reported(tmp_path, dumped(Account(runs=3), tmp_path / "dump", NOW))
    assert facts.brought == BROUGHT
    card = full_card()
    before = to_html(article30.record_of_processing(Sheet(card)))
    during = card.model_copy(update={"facts": card.facts.model_copy(update={"leaving": facts})})
    for language, title in (("en", "Brought from another system"), ("de", "Aus einem anderen")):
        sheet = Sheet(during, catalogue(language))
        text = to_html(article30.record_of_processing(sheet))
        grid = text.split(title, 1)[1].split("</table>")[0]
        rows = [row for row in grid.split("<tr>") if "SageMaker" in row]
        assert len(rows) == len(BROUGHT)
        assert all("2026-11-27" in row for row in rows)
        # runs, versions and features end by the rules of [retention]
        periods = {item.object: item.period for item in card.facts.retention.objects}
        for row, name in zip(rows, BROUGHT, strict=True):
            assert (periods.get(article30._PERIODS.get(name, "")) or "–") in row
    assert "SageMaker" not in before
    after = LeavingFacts(
        system="sagemaker", state="deleted", deleted_at="2026-12-01", evidence_sha256="ab" * 32
    )
    ended = card.model_copy(update={"facts": card.facts.model_copy(update={"leaving": after})})
    text = to_html(article30.record_of_processing(Sheet(ended)))
    ended_text = f"Amazon SageMaker until 2026-12-01: deleted there; evidence SHA-256 {'ab' * 32}"
    assert ended_text in text
    assert left_system.left_hosts(after, AuditPolicy(), TODAY, strict=True) == []


def test_a_system_that_still_holds_people_is_a_host_that_only_a_waiver_allows_and_only_until_its_day(
    tmp_path: Path,
) -> None:
    facts = reported(tmp_path, dumped(Account(runs=3), tmp_path / "dump", NOW))

    def allowed(policy: AuditPolicy, *, strict: bool = True) -> set[bool]:
        rows = left_system.left_hosts(facts, policy, TODAY, strict=strict)
        assert {row["component"] for row in rows} == {"feature_store", "tracking"}
        assert {row["us_nexus"] for row in rows} == {True}
        return {row["allowed"] for row in rows}

    def waived(until: date, payload: Payload = Payload.PERSONAL_DATA) -> AuditPolicy:
        reason = "Both systems run until the parity is shown"
        waiver = AddressWaiver(
            host="amazonaws.com", payload=payload, owner="Jane", reason=reason, until=until
        )
        return AuditPolicy(waivers=(waiver,))

    assert allowed(AuditPolicy()) == {False}
    assert allowed(AuditPolicy(), strict=False) == {True}
    assert allowed(waived(TODAY)) == {True}
    assert allowed(waived(date(2026, 11, 26))) == {False}
    assert allowed(waived(TODAY, Payload.CODE)) == {False}


def test_an_erasure_reports_what_is_still_there_with_the_command_by_hand(
    tmp_path: Path,
) -> None:
    root = make_clone(tmp_path / "acme-churn")
    project = load(root)
    name = pseudonyms(["u2"], project.pseudonym_keys()[0])
    assert left_system.still_there(root) == []
    reported(root, dumped(Account(runs=3), tmp_path / "dump", NOW))
    receipt = erasure.erase(project_stores(project), name)
    there = [line for line in receipt.source if "SageMaker" in line or "By hand" in line]
    assert len(there) == 2
    assert "2026-11-27" in there[0]
    assert "0-9 feature groups" in there[0]
    assert "sagemaker-featurestore-runtime delete-record" in there[1]
    assert "each of the 1 feature groups in .churn/leaving/groups.json" in there[1]
    assert json.loads((root / left_system.GROUPS).read_text()) == ["user-features"]
    # the receipt is committed: it names nobody and no group
    written = (root / erasure.RECEIPTS / f"{receipt.id}.html").read_text()
    assert "delete-record" in written
    assert "user-features" not in written
    # once a later dump is empty, nothing is told any more
    empty = dumped(Account(runs=0).emptied(), tmp_path / "empty", datetime.now(UTC))
    progress.note(root, open_dump(empty), "audit", {}, NOW)
    assert left_system.still_there(root) == []


def test_a_broken_report_is_one_line_and_never_no_report(tmp_path: Path) -> None:
    path = tmp_path / left_system.REPORT
    path.parent.mkdir(parents=True)
    for text in (
        "",
        "[]",
        '{"remaining": [1]}',
        '{"state": 3}',
        '{"last_dump_at": "soon"}',
        '{"steps": []',
    ):
        path.write_text(text)
        with pytest.raises(Misuse, match="restore it from git"):
            left_system.leaving_facts(tmp_path)
