"""Alarms and their answers, one file each below ``governance/monitoring/``, kept in git."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from sovereign_ml.card.person_names import is_named_person
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.monitoring.judgement import AlarmKind, RuleState
from sovereign_ml.privacy.tombstones import write_durably

FOLDER = Path("governance/monitoring")
ACTIONS = ("retrain", "roll_back", "fix_data", "accept")
QUIET_DAYS = 14
"""Number of days after an answer without a new alarm of the rule: an answer needs time to work.

An alarm about data that ended needs none: what breaks again is another fault.
"""


class AlarmAnswer(BaseModel):
    """The decision of a named person about an alarm. ``until`` ends an acceptance."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    by: str
    why: str
    action: Literal["retrain", "roll_back", "fix_data", "accept"]
    at: datetime
    until: date | None = None


class AlarmRecord(BaseModel):
    """One alarm of one model version.

    ``ended`` is the first day on which its rule held again for that version or a later one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    rule: str
    kind: AlarmKind
    name: str
    opened: date
    found: str
    limit: str
    todo: str
    model_version: str
    ended: date | None = None
    answer: AlarmAnswer | None = None

    def quiet_on(self, day: date) -> bool:
        """Return whether its answer still holds on ``day``, so that no new alarm is opened."""
        if self.answer is None:
            return self.ended is None
        # The repair worked, so data that are broken again must stop training once more.
        if self.kind == "data" and self.answer.until is None and self.ended is not None:
            return False
        until = self.answer.until or self.answer.at.date() + timedelta(days=QUIET_DAYS)
        return day <= until


def read_alarms(root: Path) -> list[AlarmRecord]:
    """Return all alarms, oldest first. Raises Misuse for a broken file."""
    records = []
    for path in sorted((root / FOLDER).glob("A-*.json")):
        try:
            records.append(AlarmRecord.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            raise Misuse(
                f"{path} is no alarm record ({error.error_count()} errors): restore it from git."
            ) from None
    return sorted(records, key=lambda record: (record.opened, record.id))


def unanswered(root: Path) -> list[AlarmRecord]:
    """Return the alarms that nobody answered, oldest first."""
    return [record for record in read_alarms(root) if record.answer is None]


def refuse_waiting(records: Sequence[AlarmRecord]) -> None:
    """Raise Refused with the alarms that wait for an answer, if there are any."""
    if records:
        names = ", ".join(record.id for record in records)
        raise Refused(f"Nobody answered {names}: see `churn monitor answer --help`.")


def update(root: Path, states: Sequence[RuleState], day: date, version: str) -> list[AlarmRecord]:
    """Open an alarm for each rule that alarms, end those whose rule holds, and return the new ones.

    The same call again changes nothing, so a run that was killed can be repeated. A rule that held
    on an earlier day, or for an earlier version, ends no alarm that was opened later.
    """
    alarms = {state.rule: state for state in states if state.status == "alarm"}
    holding = {state.rule for state in states if state.status == "ok"}
    opened, quiet = [], set()
    records = {record.id: record for record in read_alarms(root)}
    for record in records.values():
        same = record.model_version == version
        if (
            record.ended is None
            and record.rule in holding
            and record.opened <= day
            and _speaks_for(version, record.model_version)
        ):
            _write(root, record.model_copy(update={"ended": day}))
        # An answer about another version says nothing about this one.
        if same and record.quiet_on(day):
            quiet.add(record.rule)
    for rule in alarms.keys() - quiet:
        state = alarms[rule]
        # Day and rule alone, so that a repeated run writes the same file.
        name = f"A-{day}-{rule}"
        # Where a rollback came between two runs of a day, the other version's answer must stay.
        if name in records and records[name].model_version != version:
            name += f"-v{version}"
        # An alarm of this day that ended stays as it is, or the next exchange with the bucket would
        # bring its end back.
        if earlier := sum(name in (known, known.partition("-again")[0]) for known in records):
            name += f"-again{earlier}"
        record = AlarmRecord(
            id=name,
            rule=rule,
            kind=state.kind,
            name=state.name,
            opened=day,
            found=state.found,
            limit=state.limit,
            todo=state.todo,
            model_version=version,
        )
        _write(root, record)
        opened.append(record)
    return sorted(opened, key=lambda record: record.id)


def answer(
    root: Path, alarm: str, *, by: str, why: str, action: str, until: date | None, now: datetime
) -> AlarmRecord:
    """Record an answer to ``alarm``. Raises Misuse for an answer without a person or a reason."""
    records = {record.id: record for record in read_alarms(root)}
    if alarm not in records:
        waiting = ", ".join(record.id for record in unanswered(root)) or "none"
        raise Misuse(f"There is no alarm '{alarm}'. Unanswered are: {waiting}.")
    if action not in ACTIONS:
        raise Misuse(f"--action is '{action}': it may be {', '.join(ACTIONS)}.")
    if not is_named_person(by):
        raise Misuse(f"--as is '{by}': give the first and last name of a person.")
    if not why.strip():
        raise Misuse("--why is empty: say in a sentence why this is the right answer.")
    # Whoever lists the alarms later would run the control characters on a terminal.
    if not why.isprintable():
        raise Misuse("--why holds a line break or a control character: write one plain sentence.")
    if action == "accept" and (until is None or until <= now.date()):
        raise Misuse(
            "--action accept needs --until DAY, a day in the future: no risk is accepted for ever."
        )
    if action != "accept" and until is not None:
        raise Misuse("--until goes with --action accept only.")
    if (before := records[alarm].answer) is not None:
        raise Misuse(
            f"{alarm} was answered on {before.at:%Y-%m-%d} by {before.by}; git keeps that answer."
        )
    new = AlarmAnswer.model_validate(
        {"by": by, "why": why.strip(), "action": action, "at": now, "until": until}
    )
    record = records[alarm].model_copy(update={"answer": new})
    _write(root, record)
    return record


def refuse_training(root: Path, today: date | None = None) -> None:
    """Raise Refused while an alarm about data is open: a broken feed must not become a model."""
    today = today or datetime.now(UTC).date()
    open_alarms = ", ".join(
        record.id
        for record in read_alarms(root)
        if record.kind == "data" and record.ended is None and not _accepted(record, today)
    )
    if open_alarms:
        raise Refused(
            f"Not trained: the monitor found bad data ({open_alarms}). Repair it, run "
            "steps 1 to 3 and `churn monitor` of that version or a later one, which ends the alarm; "
            "or accept it with `churn monitor answer`."
        )


def against_promotion(root: Path, version: str) -> list[str]:
    """Return the unanswered alarms about unequal treatment, which forbid to promote ``version``."""
    return [
        f"{record.id}: {record.found} (limit {record.limit}). "
        "Answer it with `churn monitor answer`."
        for record in unanswered(root)
        if record.kind == "fairness" and record.model_version == version
    ]


def _speaks_for(version: str, other: str) -> bool:
    """Return whether what holds for ``version`` ends an alarm of the version ``other``.

    A later version learned since, and its columns are those that the next training uses. An earlier
    one may not look at the column that is broken.
    """
    if version.isdecimal() and other.isdecimal():
        return int(version) >= int(other)
    return version == other


def _accepted(record: AlarmRecord, today: date) -> bool:
    decision = record.answer
    return decision is not None and decision.until is not None and today <= decision.until


def path_of(root: Path, record: AlarmRecord) -> Path:
    """Return the file of an alarm."""
    return root / FOLDER / f"{record.id}.json"


def text_of(record: AlarmRecord) -> str:
    """Return the content of an alarm's file."""
    return record.model_dump_json(indent=2, exclude_none=True) + "\n"


def _write(root: Path, record: AlarmRecord) -> None:
    write_durably(path_of(root, record), text_of(record))
