"""One line of a proposal: a setting with its evidence, or a question with its candidates."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["NO", "YES", "Candidate", "ProposedSetting"]

YES = ("true", "1", "yes", "y", "ja", "j", "oui", "si", "tak", "granted")
NO = ("false", "0", "no", "n", "nein", "non", "nee", "nie", "refused", "withdrawn")
"""Words for yes (`YES`) and no in columns of flags, in a few languages."""


@dataclass(frozen=True)
class Candidate:
    """A possible value of a setting, and the evidence for it."""

    value: Any
    evidence: str = ""


@dataclass(frozen=True)
class ProposedSetting:
    """A setting ``key`` of the table ``table`` of config.toml.

    ``value`` is None where the file does not decide it. A person then has to choose, and the trial
    run uses the first candidate. ``why`` holds the evidence in words, without anything personal.
    """

    table: str
    key: str
    value: Any = None
    why: Sequence[str] = ()
    candidates: Sequence[Candidate] = ()

    @property
    def name(self) -> str:
        """Return the key as ``--set`` takes it: ``event_time``, ``reader.decimal``, ``rates.GBP``.

        The keys of an event table are named like those of the transactions.
        """
        inner = re.sub(r"^data[.]?(events[.][^.]+[.]?)?", "", self.table)
        return self.key if inner in ("", "columns") else f"{inner}.{self.key}"

    @property
    def is_open(self) -> bool:
        """Return whether a person has to choose."""
        return self.value is None

    @property
    def trial_value(self) -> Any:
        """Return the value that the trial run uses."""
        return self.candidates[0].value if self.is_open and self.candidates else self.value


def chosen(decision: ProposedSetting, answers: Mapping[str, Any]) -> ProposedSetting:
    """Return the decision with the person's answer, if there is one."""
    if decision.name not in answers:
        return decision
    return ProposedSetting(decision.table, decision.key, answers[decision.name], ("set by you",))
