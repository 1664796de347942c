"""Rules on the card itself: open answers, typed status, approvals, imported status (GDPR 5(2), 24)."""

from __future__ import annotations

import re
from typing import Final

from sovereign_ml.card.approval import problems
from sovereign_ml.card.build import DERIVED_KEYS
from sovereign_ml.card.questions import Question, missing_facts, open_questions, paste, walk
from sovereign_ml.card.rules.engine import Case, Hits, RuleHit, Severity, rule
from sovereign_ml.card.schema.derived import Derived

PLACE: Final = r"\b(sage\s?maker|hugging\s?face|hf|mlflow|model card toolkit|cyclonedx)\b"
STATUS: Final = r"\b(approved|approval|stage|verified|tags?)\b"
# Answers that say where the proof is. A place name with a status is a claim there, and may be
# chance elsewhere.
EVIDENCE: Final = re.compile(r"(ref|reference|evidence_store|status|result|justification)$")
# Git names a commit by SHA-1 or SHA-256.
COMMIT: Final = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
FOREIGN: Final = re.compile(rf"{PLACE}.{{0,60}}{STATUS}|{STATUS}.{{0,60}}{PLACE}", re.IGNORECASE)


@rule("R01", "GDPR 5(2)", "Answer in model_card.toml; see `churn card --open`.")
def open_answer(case: Case) -> Hits:
    """An answer that is required now is missing, TODO, a bare n/a or the template's placeholder."""
    tables: dict[str, list[Question]] = {}
    # The status in the file may have been edited, so the computed one decides which questions are
    # open.
    for question in open_questions(case.card.model_copy(update={"derived": case.derived})):
        tables.setdefault(question.table.partition("[")[0], []).append(question)
    for table, rows in tables.items():
        keys = ", ".join(row.path.removeprefix(table).lstrip(".") for row in rows)
        yield RuleHit(
            f"[{table}] is open: {keys}.", case.open_severity, paste=paste(case.card, tuple(rows))
        )


@rule("F01", "GDPR 5(2)", "Run the flow again so that the step records it.")
def missing_fact(case: Case) -> Hits:
    """The pipeline did not record a fact that the card needs."""
    missing = missing_facts(case.card.model_copy(update={"derived": case.derived}))
    if missing:
        yield case.open(f"Not recorded: {', '.join(missing)}.")


@rule("R04", "GDPR 22(1)", "Take the typed status out; change the answers it is computed from.")
def typed_status(case: Case) -> Hits:
    """A status was typed, or changed in the file, and contradicts the computed one."""
    for key, typed in case.card.typed_status.items():
        # `churn card` writes none of these, so the file was changed.
        if key not in DERIVED_KEYS:
            yield f"{key} = {typed!r} was typed, and nothing of that name is computed."
            continue
        computed = _computed(case.derived, DERIVED_KEYS[key])
        if typed != computed:
            yield f"{key} = {typed!r} was typed; computed is {computed!r}."
    if case.applies22 and case.answers.art22.exception == "not_applicable":
        yield "art22.exception = 'not_applicable' was typed; Article 22 applies."
    if case.card.derived != case.derived:
        message = (
            "The derived status in card.json is not the one computed from its answers and facts."
        )
        yield RuleHit(
            message,
            do="Run `churn card` again: the file was changed, or the template was updated since.",
        )


def _computed(derived: Derived, path: str) -> object:
    group, _, name = path.partition(".")
    return getattr(getattr(derived, group), name)


@rule(
    "R48",
    "GDPR 5(2), 24",
    "Have each role approve this very card: churn approve --role ... --as ...",
    at="promote",
)
def unapproved(case: Case) -> Hits:
    """An approval is missing, rejects, is the author's own, or was given for another content of the card."""
    yield from problems(case.card, case.policy.approval_roles, case.today)


@rule(
    "R57",
    "GDPR 5(2), 24",
    "Commit everything, let git answer, and run `churn train` and every step after it again.",
    at="promote",
)
def unknown_commit(case: Case) -> Hits:
    """Outside the profile local, the commit of model or card is unknown or had uncommitted changes."""
    if case.facts.run.profile == "local":
        return
    commits = {"model": case.facts.model.training_code_commit, "card": case.facts.run.git_commit}
    for name, commit in commits.items():
        if not COMMIT.fullmatch(commit or ""):
            yield (
                f"The {name} was made from the commit '{commit or 'unknown'}', "
                "which nobody can look up."
            )


@rule(
    "R58",
    "GDPR 5(2), 24",
    "Install the library from the lock again, and run `churn card` and every step after it.",
)
def unreleased_library(case: Case) -> Hits:
    """The library that judged the card is not as released, or outside `local` a development version."""
    library = case.facts.library
    name = f"{library.name} {library.version}"
    if library.state == "changed":
        yield f"The card was judged by a copy of {name} that was changed after it was released."
    elif library.state != "released" and case.facts.run.profile != "local":
        yield f"The card was judged by a development version of {name}, which nobody can look up."


@rule("R56", "GDPR 5(2)", "Give evidence of your own; an imported status proves nothing.")
def imported_status(case: Case) -> Hits:
    """A status imported from SageMaker, Hugging Face, MLflow or the like is used as evidence. Elsewhere it warns."""
    foreign = case.facts.imported.foreign_status.strip()
    for path, _, value in walk(case.answers):
        if isinstance(value, str) and (
            # Without a foreign status, every empty answer would equal it.
            FOREIGN.search(value) or (foreign and value.strip() == foreign)
        ):
            severity: Severity = "block" if EVIDENCE.search(path) else "warn"
            yield RuleHit(f"{path} rests on an imported status: '{value}'.", severity)
    for approval in case.card.approvals:
        if FOREIGN.search(f"{approval.person} {approval.comment}"):
            yield f"The approval as {approval.role} rests on an imported status."


@rule(
    "P01",
    "GDPR 5(2), 24",
    "Run `churn card` again, and every step after it; approvals of the old card are void then.",
)
def other_policy(case: Case) -> Hits:
    """The numbers of `[card.policy]` are not those that the card states and its approvals cover."""
    stated, used = case.facts.policy, case.policy.on_card()
    if not stated:
        yield case.open("The card does not state the numbers of [card.policy] that judge it.")
        return
    for name in sorted(stated.keys() | used.keys()):
        stated_row, used_row = stated.get(name, {}), used.get(name, {})
        if stated_row != used_row:
            on_card, in_use = stated_row.get("value"), used_row.get("value")
            yield (
                f"[card.policy] {name}: the card states {on_card!r}, it is judged by {in_use!r}."
            )


@rule(
    "P02", "GDPR 5(2), 24, 25", "Set the number within its limit in [card.policy] of config.toml."
)
def policy_past_limit(case: Case) -> Hits:
    """A number of `[card.policy]` is looser than its limit. In profile local it only warns."""
    local = case.facts.run.profile == "local"
    for line in case.policy.past_limits():
        yield RuleHit(line, "warn" if local else "block")
