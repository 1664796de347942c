import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Any

import pytest

from sovereign_ml.decision_log import (
    Committer,
    DecisionLog,
    Draft,
    Entry,
    LogUnavailableError,
    Rejection,
    note_rectification,
    open_log,
    rectification,
    verify,
)
from sovereign_ml.decision_log.entries import BARS
from sovereign_ml.decision_log.evidence import tally
from sovereign_ml.decision_log.sqlite import SQLite


def _draft(number: int, subject: str = "aaaaaaaa") -> Draft:
    return Draft(
        "decision", f"case-{number}", subject, json.dumps({"score": number}), '{"objected":true}'
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "decisions.db"


@pytest.fixture
def log(path: Path) -> Iterator[DecisionLog]:
    opened = open_log(str(path))
    yield opened
    opened.close()


def _tamper(path: Path, sql: str) -> None:
    """As somebody would who has the file and knows about the triggers."""
    with sqlite3.connect(path) as file:
        for (name,) in file.execute(
            "SELECT name FROM sqlite_master WHERE type = 'trigger'"
        ).fetchall():
            file.execute(f"DROP TRIGGER {name}")
        file.executescript(sql)


def test_entries_form_one_chain(log: DecisionLog) -> None:
    for start in (0, 3):
        log.append([_draft(number) for number in range(start, start + 3)])
    entries = list(log.entries())
    assert [entry.seq for entry in entries] == [1, 2, 3, 4, 5, 6]
    assert [entry.previous for entry in entries[1:]] == [entry.seal for entry in entries[:-1]]
    assert verify(log).holds


@pytest.mark.parametrize(
    ("sql", "seen"),
    [
        (
            "UPDATE decision_log SET body = '{\"score\": 9}' WHERE seq = 2",
            "entry 2: its content was changed",
        ),
        (
            "UPDATE decision_log SET subject = 'bbbbbbbb' WHERE seq = 2",
            "entry 2: its content was changed",
        ),
        ("UPDATE decision_log SET at = '2020' WHERE seq = 2", "entry 2: its seal does not fit"),
        ("UPDATE decision_log SET case_id = 'x' WHERE seq = 2", "entry 2: its seal does not fit"),
        ("DELETE FROM decision_log WHERE seq = 2", "entry 3: entry 2 is missing before it"),
        (
            "UPDATE decision_log SET body = NULL, salt = NULL WHERE seq = 2",
            "entry 2: blanked without a tombstone",
        ),
        (
            "DELETE FROM objections",
            "1 objections of the chain are missing from the suppression list",
        ),
    ],
)
def test_every_change_behind_its_back_shows(
    log: DecisionLog, path: Path, sql: str, seen: str
) -> None:
    log.append([_draft(number) for number in range(4)])
    log.append([Draft("objection", "objection-1", "cccccccc", "{}")])
    _tamper(path, sql)
    assert seen in verify(log).problems


def test_a_cut_off_end_shows_only_against_a_head_noted_before(log: DecisionLog, path: Path) -> None:
    log.append([_draft(number) for number in range(4)])
    head = verify(log).head
    assert verify(log, head).holds
    _tamper(path, "DELETE FROM decision_log WHERE seq > 2; UPDATE fact_counts SET entries = 2")
    assert verify(log).holds
    assert "cut off" in verify(log, head).problems[0]


@pytest.mark.parametrize("sql", ["DELETE FROM decision_log", "UPDATE decision_log SET body = 'x'"])
def test_the_database_itself_refuses_to_forget_or_change(
    log: DecisionLog, path: Path, sql: str
) -> None:
    log.append([_draft(1)])
    with sqlite3.connect(path) as file, pytest.raises(sqlite3.IntegrityError, match="append-only"):
        file.executescript(sql)


def test_erasure_blanks_a_person_leaves_the_rest_and_the_chain_holds(
    log: DecisionLog, path: Path
) -> None:
    log.append([_draft(1, "aaaaaaaa"), _draft(2, "bbbbbbbb"), _draft(3, "aaaaaaaa")])
    assert log.erase_subject("aaaaaaaa") == 2
    assert [entry.body is None for entry in log.entries()] == [True, False, True, False]
    assert log.of_subject("aaaaaaaa") == []
    assert (verify(log).holds, verify(log).blanked) == (True, 2)
    assert log.erase_subject("aaaaaaaa") == 0
    assert len(list(log.entries())) == 4
    log.close()
    assert b"aaaaaaaa" not in path.read_bytes()


def test_retention_blanks_what_is_older_and_keeps_bundles(path: Path) -> None:
    times = iter(
        [
            "2025-01-01T00:00:00.000000Z",
            "2026-01-01T00:00:00.000000Z",
            "2026-06-01T00:00:00.000000Z",
        ]
    )
    log = DecisionLog(SQLite(path), clock=lambda: next(times))
    log.append([Draft("bundle", "bundle-1", None, "{}"), _draft(1)])
    log.append([_draft(2)])
    assert log.expire("2025-06-01T00:00:00.000000Z") == 1
    assert [entry.body is None for entry in log.entries()] == [False, True, False, False]
    assert verify(log).holds


def test_the_objection_of_an_erased_person_stays_in_force(log: DecisionLog) -> None:
    log.append([Draft("objection", "objection-1", "aaaaaaaa", "{}")])
    log.erase_subject("aaaaaaaa")
    assert log.barred_by("objection") == {"aaaaaaaa"}
    assert verify(log).holds


def test_nothing_is_written_about_an_erased_person_but_an_objection(
    log: DecisionLog, path: Path
) -> None:
    assert log.erase_subject("aaaaaaaa") == 0
    contest = Draft("contest", "case-1", "aaaaaaaa", "{}")
    assert log.append([_draft(1), contest]) == [Rejection("erased"), Rejection("erased")]
    log.append([Draft("objection", "objection-1", "aaaaaaaa", "{}"), _draft(2, "bbbbbbbb")])
    assert [entry.kind for entry in log.entries()] == ["erasure", "objection", "decision"]
    assert verify(log).holds
    _tamper(path, "DELETE FROM erased")
    assert verify(log).problems == (
        "1 erased people of the chain are missing from the list of the erased",
    )


def test_a_corrected_input_is_noted_once_on_each_decision_that_used_it(log: DecisionLog) -> None:
    scored = Draft(
        "decision", "case-1", "aaaaaaaa", '{"features": {"recency_days": 3}}', opens_review=True
    )
    log.append([scored, _draft(2), _draft(3, "bbbbbbbb")])
    assert note_rectification(log, "aaaaaaaa", "2 purchases corrected") == ["case-1"]
    assert note_rectification(log, "aaaaaaaa", "2 purchases corrected") == []
    assert log.review_is_open("case-1")
    log.append([rectification("case-1", "aaaaaaaa", "made again", corrected_by="case-9")])
    assert not log.review_is_open("case-1")
    assert verify(log).holds


@pytest.mark.parametrize("bar", sorted(BARS))
def test_a_note_of_a_correction_is_the_same_for_somebody_barred(log: DecisionLog, bar: Any) -> None:
    scored = Draft("decision", "case-1", "aaaaaaaa", '{"features": {"recency_days": 3}}')
    log.append([scored, Draft(bar, "bar-1", "aaaaaaaa", '{"ground": "accuracy_contested"}')])
    assert note_rectification(log, "aaaaaaaa", "2 purchases corrected") == ["case-1"]
    (_, note) = log.of_case("case-1")
    assert json.loads(note.body or "") == {"text": "2 purchases corrected", "corrected_by": None}
    assert verify(log).holds


def test_an_objection_in_the_same_transaction_already_counts(log: DecisionLog) -> None:
    before, _, after = log.append(
        [_draft(1), Draft("objection", "objection-1", "aaaaaaaa", "{}"), _draft(2)]
    )
    assert [getattr(entry, "body", None) for entry in (before, after)] == [
        '{"score": 1}',
        '{"objected":true}',
    ]


def test_a_contest_that_waits_is_decided_before_the_case_is_past_its_period(
    log: DecisionLog,
) -> None:
    drafts = [_draft(1), _draft(2), Draft("contest", "case-1", "aaaaaaaa", "{}", opens_review=True)]
    log.append(drafts)
    kinds, end = ("decision", "contest", "review"), "2999-01-01T00:00:00.000000Z"
    assert log.older(end, kinds) == log.expire(end, kinds) == 1
    assert log.review_is_open("case-1") and log.of_case("case-1")[0].body
    body = '{"outcome": "offer", "reviewer": "Ann", "seeded": false, "override": false}'
    (written,) = log.append([Draft("review", "case-1", "aaaaaaaa", body)])
    assert isinstance(written, Entry)
    assert log.expire(end, kinds) == 3
    assert log.of_subject("aaaaaaaa") == [] and verify(log).holds


NOTICE = json.dumps({"reason": "Checked.", "informed_on": "2026-11-24"})


@pytest.mark.parametrize(
    ("kind", "outcome", "act", "content"),
    [
        ("restriction", "restricted", "restriction_lifted", NOTICE),
        ("withdrawal", "withdrawn", "consent", '{"reference": "r", "given_on": "2026-11-24"}'),
    ],
)
def test_a_bar_holds_until_the_act_that_names_it(
    log: DecisionLog, kind: Any, outcome: str, act: Any, content: str
) -> None:
    log.append([replace(_draft(1), opens_review=True)])
    _, after = log.append([Draft(kind, "bar-1", "aaaaaaaa", "{}"), _draft(2)])
    assert isinstance(after, Entry) and json.loads(after.body or "")["outcome"] == outcome
    assert not log.review_is_open("case-1")
    assert log.barred() == log.barred(["aaaaaaaa", "bbbbbbbb"]) == {"aaaaaaaa": outcome}
    assert log.append([Draft(kind, "bar-2", "aaaaaaaa", "{}")]) == [Rejection(outcome)]  # type: ignore[arg-type]
    for wrong in (
        Draft(act, "bar-2", "aaaaaaaa", content),
        Draft(act, "bar-1", "bbbbbbbb", content),
    ):
        assert log.append([wrong]) == [Rejection("not_barred")]
    lifting = Draft(act, "bar-1", "aaaaaaaa", content)
    _, again, scored = log.append([lifting, lifting, _draft(3)])
    assert again == Rejection("not_barred")
    assert isinstance(scored, Entry) and json.loads(scored.body or "") == {"score": 3}
    log.append([Draft("objection", "objection-1", "aaaaaaaa", "{}")])
    assert log.append([Draft(act, "objection-1", "aaaaaaaa", content)]) == [Rejection("not_barred")]
    assert verify(log).problems == ()


def _restriction(case: str, ground: str, subject: str = "aaaaaaaa") -> Draft:
    return Draft("restriction", case, subject, json.dumps({"ground": ground}))


def _standing(log: DecisionLog, subject: str = "aaaaaaaa") -> list[str]:
    return [entry.case_id for entry in log.in_force(subject, "restriction")]


@pytest.mark.parametrize("together", [True, False])
def test_each_ground_of_a_restriction_stands_until_it_is_ended(
    log: DecisionLog, together: bool
) -> None:
    drafts = [
        _restriction("bar-1", "unlawful"),
        _restriction("bar-2", "unlawful"),
        _restriction("bar-3", "needed_for_claims"),
        Draft("restriction_lifted", "bar-1", "aaaaaaaa", NOTICE),
        Draft("restriction_lifted", "bar-1", "aaaaaaaa", NOTICE),
        _restriction("bar-4", "unlawful"),
        _restriction("bar-5", "needed_for_claims"),
        Draft("restriction_lifted", "bar-3", "aaaaaaaa", NOTICE),
    ]
    written = log.append(drafts) if together else [log.append([draft])[0] for draft in drafts]
    refused = {n: one.reason for n, one in enumerate(written) if isinstance(one, Rejection)}
    assert refused == {1: "restricted", 4: "not_barred", 6: "restricted"}
    assert _standing(log) == ["bar-4"]
    assert log.barred() == {"aaaaaaaa": "restricted"}
    assert verify(log).problems == ()
    log.append([Draft("restriction_lifted", "bar-4", "aaaaaaaa", NOTICE)])
    assert (_standing(log), log.barred()) == ([], {})
    assert verify(log).problems == ()


@pytest.mark.parametrize("end_first", [True, False])
def test_of_an_erased_person_with_two_grounds_one_bar_stays_for_good(
    log: DecisionLog, end_first: bool
) -> None:
    log.append([_restriction("bar-1", "unlawful"), _restriction("bar-2", "needed_for_claims")])
    if end_first:
        log.append([Draft("restriction_lifted", "bar-1", "aaaaaaaa", NOTICE)])
    log.erase_subject("aaaaaaaa")
    assert _standing(log) == ["bar-2" if end_first else "bar-1"]
    refused = [Rejection("restricted"), Rejection("erased")]
    lifting = Draft("restriction_lifted", "bar-2", "aaaaaaaa", NOTICE)
    assert log.append([_restriction("bar-3", "objection_pending"), lifting]) == refused
    assert verify(log).problems == ()


def test_consent_ends_a_withdrawal_that_was_blanked(log: DecisionLog) -> None:
    log.append([Draft("withdrawal", "bar-1", "aaaaaaaa", "{}")])
    log.expire("2099-01-01T00:00:00.000000Z")
    (standing,) = log.in_force("aaaaaaaa", "withdrawal")
    consent = '{"reference": "r", "given_on": "2026-11-24"}'
    log.append([Draft("consent", standing.case_id, "aaaaaaaa", consent)])
    assert log.barred() == {}
    assert verify(log).problems == ()


def test_an_objection_outlasts_the_end_of_a_restriction(log: DecisionLog) -> None:
    log.append(
        [Draft(kind, f"{kind}-1", "aaaaaaaa", "{}") for kind in ("restriction", "objection")]
    )
    log.append([Draft("restriction_lifted", "restriction-1", "aaaaaaaa", NOTICE)])
    assert log.barred() == {"aaaaaaaa": "objected"}


def test_what_is_older_than_its_period_is_kept_while_processing_is_restricted(
    log: DecisionLog,
) -> None:
    log.append([_draft(1), _draft(2, "bbbbbbbb"), Draft("restriction", "bar-1", "aaaaaaaa", "{}")])
    end = "2099-01-01T00:00:00.000000Z"
    assert log.older(end) == log.expire(end) == 1
    log.append([Draft("restriction_lifted", "bar-1", "aaaaaaaa", NOTICE)])
    assert log.expire(end) == 3
    assert verify(log).problems == ()


def test_a_row_without_a_subject_on_the_list_keeps_nobody_elses_entries(tmp_path: Path) -> None:
    """Only SQLite can hold it, and the proof reports it."""
    with closing(open_log(str(tmp_path / "a.db"))) as log:
        log.append([_draft(1), _draft(2, "bbbbbbbb"), Draft("restriction", "r", "aaaaaaaa", "{}")])
        log._db.change("INSERT INTO restrictions (subject, seq) VALUES (NULL, 9)")
        end = "2099-01-01T00:00:00.000000Z"
        assert log.older(end) == log.expire(end) == 1
        assert not verify(log).holds


@pytest.mark.parametrize("kind", BARS)
def test_the_counts_hold_no_score_of_somebody_barred_and_lose_what_is_blanked(
    log: DecisionLog, kind: Any
) -> None:
    body = json.dumps({"outcome": "offer", "suggestion": "offer", "score": 0.7, "reasons": ["a"]})
    scored = Draft("decision", "case-1", "aaaaaaaa", body, '{"outcome": "objected"}')
    log.append([scored])
    before = log.counts()
    assert before == {("reasons", "kept"): 1, ("outcome", "as_suggested"): 1}
    log.append([Draft(kind, "bar-1", "aaaaaaaa", "{}"), replace(scored, case_id="case-2")])
    assert log.counts() == before
    log.expire("2099-01-01T00:00:00.000000Z")
    assert log.counts() == (before if kind == "restriction" else {})
    assert verify(log).problems == ()


def _review(reviewer: str) -> Draft:
    body = json.dumps(
        {"outcome": "no_offer", "reviewer": reviewer, "seeded": False, "override": True}
    )
    return Draft("review", "case-1", "aaaaaaaa", body)


@pytest.mark.parametrize("together", [True, False])
def test_a_contest_is_decided_by_somebody_who_never_decided_the_case(
    log: DecisionLog, together: bool
) -> None:
    decision = Draft("decision", "case-1", "aaaaaaaa", "{}", opens_review=True)
    contest = Draft("contest", "case-1", "aaaaaaaa", "{}", opens_review=True)
    ann, bob, eve = (_review(who) for who in ("ann", "bob", "eve"))
    drafts = [decision, ann, contest, ann, bob, contest, ann, bob, eve]
    written = log.append(drafts) if together else [log.append([one])[0] for one in drafts]
    answers = [one.reason if isinstance(one, Rejection) else one.kind for one in written]
    same = "same_reviewer"
    first, second = ["review", "contest", same], ["review", "contest", same, same]
    assert answers == ["decision", *first, *second, "review"]
    assert not log.review_is_open("case-1")
    assert verify(log).holds


def test_a_review_closes_a_case_once(log: DecisionLog) -> None:
    log.append([Draft("decision", "case-1", "aaaaaaaa", "{}", opens_review=True)])
    review = Draft("review", "case-1", "aaaaaaaa", "{}")
    first, second = log.append([review, review])
    assert isinstance(first, Entry)
    assert second == Rejection("not_open")


def test_a_clock_that_is_moved_back_does_not_move_the_log_back(path: Path) -> None:
    times = iter(
        [
            "2026-11-24T10:00:00.000000Z",
            "2026-11-24T08:00:00.000000Z",
            "2026-11-24T10:00:01.000000Z",
        ]
    )
    log = DecisionLog(SQLite(path), clock=lambda: next(times))
    for number in range(3):
        log.append([_draft(number)])
    assert [entry.at[11:19] for entry in log.entries()] == ["10:00:00", "10:00:00", "10:00:01"]
    assert verify(log).holds


def test_two_writers_on_one_file_write_one_chain(path: Path) -> None:
    logs = [open_log(str(path)) for _ in range(2)]
    for number in range(20):
        logs[number % 2].append([_draft(number)])
    assert verify(logs[0]).entries == 20
    assert verify(logs[0]).holds


def test_many_waiting_requests_share_a_commit_and_each_gets_its_own_entry(path: Path) -> None:
    async def run() -> list[list[Entry | Rejection]]:
        committer = Committer(lambda: open_log(str(path)))
        futures = [committer.submit([_draft(number)]) for number in range(300)]
        results = await asyncio.gather(*futures)
        committer.close()
        return results

    results = asyncio.run(run())
    assert [one[0].case_id for one in results if isinstance(one[0], Entry)] == [
        f"case-{n}" for n in range(300)
    ]
    assert verify(open_log(str(path))).entries == 300


def test_whoever_waits_for_a_log_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    async def run() -> None:
        committer = Committer(lambda: open_log(str(tmp_path)))
        with pytest.raises(LogUnavailableError):
            await committer.submit([_draft(1)])
        committer.close()

    asyncio.run(run())


def test_a_full_disk_writes_nothing_and_recovers(log: DecisionLog) -> None:
    log.append([_draft(1)])
    pages = log._db.rows("PRAGMA page_count")[0][0]
    log._db.rows(f"PRAGMA max_page_count = {pages}")
    large = [Draft("decision", f"big-{n}", "aaaaaaaa", "x" * 5000) for n in range(50)]
    with pytest.raises(LogUnavailableError, match="full"):
        log.append(large)
    assert verify(log).entries == 1
    log._db.rows("PRAGMA max_page_count = 1000000")
    log.append(large)
    assert verify(log).entries == 51


def test_counts_of_an_older_log_are_made_when_it_is_opened(log: DecisionLog, path: Path) -> None:
    log.append([Draft("decision", "case-1", "aaaaaaaa", "{}", opens_review=True), _review("ann")])
    log.append([_draft(2)])
    before = log.counts()
    log.close()
    _tamper(path, "DROP TABLE fact_counts")
    opened = open_log(str(path))
    assert opened.counts() == before
    assert before["case", "overruled"] == before["reasons", "missing"] == 1
    assert verify(opened).problems == ()
    opened.close()


@pytest.mark.parametrize("seconds", [[], [5], [5, 1], [3, 1, 2], [1.5, 40, 40, 7], [2, 2, 9, 9, 9]])
def test_the_median_of_counts_is_that_of_the_values(seconds: list[float]) -> None:
    counts = Counter({("seconds", str(value)): seconds.count(value) for value in seconds})
    assert tally(counts).median_seconds == (median(seconds) if seconds else None)
