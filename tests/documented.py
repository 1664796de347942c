"""What becomes of each command that a page names: it is run in a finished project, or why not."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import cache

from bake import LIBRARY, ROOT

RUN = {
    "--help": 0,
    "stages --check": 0,
    "card --open": 0,
    "card documents --lang de": 0,
    "check": 0,
    "check --promotion": 1,
    "audit --all": 0,
    "doctor": 0,
    "score --old-features": 0,
    "data-subject pseudonym C0000007": 0,
    "data-subject access --subject ID": 0,
    "monitor": 0,
    "supply-chain licences": 0,
    "supply-chain sbom": 0,
    "leave script --region eu-central-1 --data": 0,
    "retain --plan": 0,
    "data-subject erase --subject ID --reference YOUR-NUMBER": 0,
    "data-subject erase --again": 0,
    "check --project": 1,
}
"""Commands as pages have them, in the order in which they run, with their exit codes."""
INSTEAD = {
    "ID": "C0000007",
    "YOUR-NUMBER": "R-1",
    "licences": "licences requirements/train.lock",
    "sbom": "sbom requirements/train.lock",
}
"""What a reader puts into the place of a word."""
STEPS = {"data", "features", "train", "card", "register", "score", "run"}
"""`make run` of the finished project runs them."""
TESTED = {
    "approve": "card/test_approval_page.py",
    "campaign": "monitoring/test_monitored_months.py",
    "card answer": "card/test_interview.py",
    "card documents": "card/test_record_commands.py",
    "check --project": "upkeep/test_upkeep.py",
    "clearml push": "registry/test_clearml.py",
    "data suggest": "pipeline/test_suggest.py",
    "data-subject access": "data_subjects/test_access.py",
    "data-subject erase": "data_subjects/test_erasure_drill.py",
    "data-subject rectify": "data_subjects/test_rectify.py",
    "data-subject rotate-key": "data_subjects/test_rotation.py",
    "decisions prepare": "service/test_service_roles.py",
    "decisions verify": "service/test_service_commands.py",
    "deploy": "deploy/test_deploy_commands.py",
    "deploy kserve": "deploy/test_deploy_kserve.py",
    "doctor --profile eu": "profile_eu/test_eu_doctor.py",
    "keys new": "service/test_service_commands.py",
    "kubeflow katib": "kubeflow/test_katib.py",
    "kubeflow launcher": "profile_eu/test_eu_submit.py",
    "kubeflow run": "pipeline/test_flow.py",
    "kubeflow submit": "profile_eu/test_eu_submit.py",
    "leave": "leaving/test_bring.py",
    "leave audit": "leaving/test_checklist.py",
    "leave features": "support/platforms/leave_demo.py",
    "leave fetch": "leaving/test_dump.py",
    "leave finish": "support/platforms/leave_demo.py",
    "leave parity": "leaving/test_parity_command.py",
    "leave pipelines": "leaving/test_pipelines.py",
    "leave runs": "support/platforms/leave_demo.py",
    "leave tracker": "leaving/test_both_tracks.py",
    "leave tracks": "leaving/test_both_tracks.py",
    "library diff": "supply_chain/test_upgrade.py",
    "mailing": "pipeline/test_extensions.py",
    "monitor": "monitoring/test_monitored_months.py",
    "monitor answer": "monitoring/test_monitored_months.py",
    "monitor backtest": "monitoring/test_monitored_months.py",
    "monitor sync": "monitoring/test_bucket_copy.py",
    "promote": "card/test_approval_page.py",
    "pull": "pipeline/test_flow.py",
    "push": "pipeline/test_flow.py",
    "retain": "data_subjects/test_retention.py",
    "serve": "service/test_serve_command.py",
    "servers backup": "profile_eu/test_eu_backup.py",
    "servers features": "profile_eu/test_eu_rights.py",
    "servers materialise": "profile_eu/test_eu_features.py",
    "servers parity": "profile_eu/test_eu_features.py",
    "servers restore": "profile_eu/test_eu_backup.py",
    "servers tracking": "profile_eu/test_eu_rights.py",
    "stages": "pipeline/test_extensions.py",
}
"""Commands that need servers, people, files or minutes: a test of the library gives them those."""
NOT_RUN = {
    "decisions": "names the group only",
    "library verify": "needs a tag of this repository; tests/test_release.py runs its function",
    "supply-chain vuln": "asks a service outside; supply_chain/test_vuln.py has a double of it",
}
EVERYWHERE = [set(RUN), STEPS, set(TESTED), set(NOT_RUN)]


@cache
def listed() -> frozenset[str]:
    """Return every entry of the lists above."""
    return frozenset().union(*EVERYWHERE)


def entry(command: str) -> str:
    """Return the entry that speaks for ``command``: itself, or the longest beginning of it."""
    words = command.split()
    beginnings = (" ".join(words[:length]) for length in range(len(words), 0, -1))
    return next((name for name in beginnings if name in listed()), "")


def calls(lines: Iterable[str]) -> set[str]:
    """Return the calls of `churn` in ``lines``, without the placeholder at which one is cut off."""
    found = (re.findall(r"(?:^|bin/)churn ([^|;&)>`\n]+)", line) for line in lines)
    return {re.sub(r" *[<\\].*", "", call).strip() for some in found for call in some}


def unproved() -> list[str]:
    """Return entries whose test does not exist, or does not name the command's last word."""
    missing = []
    for command, name in TESTED.items():
        path = LIBRARY / "tests" / name
        word = command.split()[-1]
        if not path.is_file() or word not in path.read_text(encoding="utf-8"):
            missing.append(f"{command}: {path.relative_to(ROOT)}")
    return missing
