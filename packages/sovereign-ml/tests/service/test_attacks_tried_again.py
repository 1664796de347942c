"""Every attack that once succeeded, with the tests that try it again.

The rows are those of an attacker's report on an early version. This module checks that each row has
its tests. As a program it runs them and prints the table with the outcome now:
python tests/service/test_attacks_tried_again.py [F5 F31 …]
"""

from __future__ import annotations

import ast
import sys
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import pytest

TESTS = Path(__file__).parents[1]


class Attack(NamedTuple):
    """One row: what was tried, what came of it then, and where it is tried now."""

    id: str
    what: str
    then: str
    tests: str
    """``file::test`` below ``tests/``, separated by blanks; a file alone stands for all of its tests."""


PROOF, LOG = "decision_log/test_log_proof.py", "decision_log/test_decision_log.py"
COSTS, ADDRESSES = "decision_log/test_log_costs.py", "service/test_database_addresses.py"
PAIRS, TWO = "service/test_service_interleavings.py", "service/test_service_instances.py"
DESK, API = "service/test_service_reviews.py", "service/test_service_api.py"
DEADLINES, FAULTS = "service/test_service_deadlines.py", "service/test_service_faults.py"
BACKUP, ROLES = "service/test_backup_secrets.py", "service/test_service_roles.py"
START, DOORS = "service/test_service_start.py", "service/test_service_doors.py"
EDGES, GUARD = "service/test_service_edges.py", "egress/test_guard.py"
LOAD = f"{FAULTS}::test_under_load_each_answered_decision_is_on_record_and_the_service_ends_in_time"
ATTACKS = tuple(
    Attack(*row)
    for row in (
        (
            *("F1", "forge rows below number 1", "verify: the chain holds"),
            f"{PROOF}::test_whatever_is_forged_in_any_table_is_found "
            f"{PROOF}::test_a_forger_at_random_is_always_found",
        ),
        (
            *("F2", "object on one instance, offer by a reviewer on another", "offer given"),
            f"{TWO}::test_an_objection_on_one_stops_an_offer_by_a_reviewer_on_the_other {PAIRS}",
        ),
        (
            *("F3", "contest while a reviewer has the case open", "closed unheard"),
            f"{TWO}::test_a_contest_that_arrives_while_the_case_is_open_on_the_desk_is_heard {PAIRS}",
        ),
        (
            *("F4", "tell planted cases by id, time, wording or order", "21 of 21 recognised"),
            f"{DESK}::test_a_planted_error_looks_like_any_case_and_counts_as_caught_when_overruled "
            f"{DESK}::test_after_a_single_case_a_planted_one_opens_within_as_long_as_lay_before_it "
            f"{DESK}::test_where_only_offers_wait_a_planted_case_suggests_one "
            f"{DESK}::test_a_client_does_not_write_its_own_evidence",
        ),
        (
            *("F5", "spell DATABASE_URL in 18 ways", "ten became a file, password in its name"),
            f"{ADDRESSES}::test_every_usual_spelling_means_the_same_database "
            f"{ADDRESSES}::test_everything_else_is_refused_in_one_line_without_a_secret",
        ),
        (
            *("F6", "sign a session with the hash in CHURN_KEYS", "case decided"),
            f"{DESK}::test_the_hash_of_a_key_signs_no_session_and_no_page",
        ),
        ("F7", "freeze PostgreSQL, take the pool", "no answer, no end", LOAD),
        (
            *("F8", "flood and drip headers and bodies, say nothing", "unreachable, no end"),
            f"{DEADLINES}::test_silence_dripping_and_floods_of_headers_end_and_keep_nobody_out "
            f"{EDGES}::test_a_body_that_never_ends_is_cut_off",
        ),
        (
            *("F9", "ask for /openapi.json all the time", "scoring 50 times slower"),
            f"{EDGES}::test_the_description_and_the_cards_page_are_made_once",
        ),
        (
            *("F10", "three reviewers on a log of 30,000 reviews", "readiness after 4 s"),
            f"{COSTS}::test_what_is_asked_of_a_long_log_takes_as_many_steps_as_of_a_short_one "
            f"{COSTS}::test_postgresql_reads_as_many_rows_of_a_long_log_as_of_a_short_one",
        ),
        (
            *("F11", "empty the desk, invent objections and erasures", "verify: the chain holds"),
            f"{PROOF}::test_whatever_is_forged_in_any_table_is_found "
            f"{PROOF}::test_an_older_copy_of_any_table_is_found",
        ),
        (
            *("F13", "one superuser for all; TRUNCATE", "allowed; a small role could not start"),
            f"{ROLES} {PROOF}::test_postgresql_refuses_to_truncate_and_a_truncated_desk_is_found",
        ),
        (
            *("F14", "read command lines and dumps; add a file to a backup", "password, 0644"),
            f"{BACKUP}::test_a_dump_shows_no_password_while_it_runs_and_is_for_its_owner_only "
            f"{BACKUP}::test_a_file_that_the_manifest_does_not_list_is_not_restored",
        ),
        (
            *("F15", "churn doctor on odd addresses", "traceback with the password"),
            f"{BACKUP}::test_doctor_says_in_one_line_what_is_wrong_with_an_address",
        ),
        (
            *("F16", "bentoml serve without keys", "all open, no guard"),
            f"{DOORS}::test_bentoml_s_own_server_does_not_start_where_the_program_would_not "
            f"{DOORS}::test_a_decision_is_logged_strangers_stay_out_and_bentoml_shows_no_pages",
        ),
        (
            *("F17", "upgrade to a WebSocket", "500 and an ERROR line, anonymous"),
            f"{EDGES}::test_what_is_no_plain_request_gets_a_refusal_and_no_error",
        ),
        (
            *("F18", "NUL in a path on PostgreSQL", "503"),
            f"{TWO}::test_what_no_case_is_called_is_not_found_whatever_the_database "
            "service/test_service_fuzz.py",
        ),
        (
            *("F20", "a proxy that rewrites Host", "every form of the desk 403"),
            f"{DESK}::test_a_proxy_that_changes_the_host_does_not_close_the_desk "
            f"{DESK}::test_a_form_from_another_site_is_refused",
        ),
        (
            *("F21", "a page too old, a session that ended", "JSON, and the text is lost"),
            f"{DESK}::test_a_form_that_is_turned_down_gives_back_what_was_written",
        ),
        (
            *("F22", "stage the image under umask 077", "the image cannot read its code"),
            "deploy/test_deploy_stage.py::test_the_image_s_user_reads_what_a_strict_umask_staged",
        ),
        (
            *("F24", "submit the same commit again", "steps with effects came from the cache"),
            "profile_eu/test_eu_submit.py"
            "::test_every_task_has_limits_retries_a_timeout_and_only_its_own_secrets",
        ),
        (
            *("F25", "400 contests of one decision, 11 corrections of another", "all accepted"),
            f"{TWO}::test_one_contest_of_a_case_waits_at_a_time "
            f"{TWO}::test_a_decision_is_corrected_once",
        ),
        (
            *("F26", "a log on a network drive", "allowed by the wording"),
            f"{START}::test_settings_that_are_not_safe_are_refused",
        ),
        (
            *("F27", "read the log's file as another user", "0644"),
            f"{ADDRESSES}::test_the_log_is_for_its_owner_only",
        ),
        (
            *("F28", "another application's DATABASE_URL in profile local", "our tables in it"),
            f"{ADDRESSES}::test_profile_local_is_not_moved_by_the_database_of_another_application",
        ),
        (
            *("F30", "a vulnerability server that knows nothing", "all-clear"),
            "supply_chain/test_vuln.py::test_a_service_that_knows_no_advisory_at_all_is_not_believed",
        ),
        (
            *("F31", "a proxy that keeps connections for 60 s; no preStop", "closed after 30 s"),
            f"{EDGES}::test_whoever_reads_that_the_service_listens_reaches_it_at_once "
            "deploy/test_deploy_kserve.py::test_traffic_goes_elsewhere_before_the_service_stops",
        ),
        (
            *("F32", "odd content under a right seal", "traceback"),
            f"{PROOF}::test_odd_content_under_a_right_seal_is_a_problem_and_no_traceback "
            f"{PROOF}::test_what_only_sqlite_can_hold_is_a_problem_and_no_traceback",
        ),
        (
            *("F33", "wrong database, role, options", "the name of a class and no more"),
            f"{EDGES}::test_a_refusal_of_postgresql_says_what_to_look_at",
        ),
        (
            *("F34", "names as bytes, reverse look-ups, uvloop past the guard", "passed"),
            f"{GUARD}::test_no_other_type_and_no_reverse_look_up_passes",
        ),
        (
            *("F36", "read the environment of the served process", "two foreign secrets"),
            f"{BACKUP}::test_a_child_gets_no_secret_that_it_does_not_need",
        ),
        (
            *("F37", "change card.html under a running service", "shown"),
            f"{EDGES}::test_the_description_and_the_cards_page_are_made_once",
        ),
        (
            *("F38", "listen on ::1", "an address without brackets, lines without time"),
            f"{EDGES}::test_whoever_reads_that_the_service_listens_reaches_it_at_once",
        ),
    )
)
NUMBERS = {*range(1, 39)} - {12, 19, 23, 29, 35}
"""Those of the report; the others were never given."""


def test_every_attack_of_the_report_is_in_the_table_once() -> None:
    assert [attack.id for attack in ATTACKS] == [f"F{number}" for number in sorted(NUMBERS)]


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.id)
def test_each_attack_is_tried_again_by_tests_that_are_there(attack: Attack) -> None:
    for node in attack.tests.split():
        file, _, name = node.partition("::")
        tree = ast.parse((TESTS / file).read_text())
        names = {part.name for part in tree.body if isinstance(part, ast.FunctionDef)}
        assert not name or name in names, node


class Outcomes:
    """A plugin of pytest that counts how the tests of each node ended."""

    def __init__(self) -> None:
        self.counts: dict[str, Counter[str]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Count the call, and a failure or skip before it."""
        if report.when == "call" or report.outcome != "passed":
            name = report.nodeid.partition("tests/")[2].partition("[")[0]
            self.counts.setdefault(name, Counter())[report.outcome] += 1


def main(wanted: list[str]) -> int:
    """Run the tests of the attacks and print one line for each."""
    attacks = [attack for attack in ATTACKS if not wanted or attack.id in wanted]
    nodes = dict.fromkeys(node for attack in attacks for node in attack.tests.split())
    outcomes = Outcomes()
    code = pytest.main(["-q", *(f"{TESTS}/{node}" for node in nodes)], plugins=[outcomes])
    for attack in attacks:
        total: Counter[str] = Counter()
        for node in attack.tests.split():
            for name, counts in outcomes.counts.items():
                if name == node or name.startswith(f"{node}::"):
                    total += counts
        held = "held" if total["passed"] and set(total) == {"passed"} else "NOT SHOWN"
        now = ", ".join(f"{number} {outcome}" for outcome, number in total.items()) or "not run"
        print(f"{attack.id:<4} {attack.what}\n     then: {attack.then}\n     now: {held} ({now})")
    return int(code)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
