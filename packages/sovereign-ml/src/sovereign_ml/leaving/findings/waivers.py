"""Waivers in config.toml: a person accepts the findings of a rule at a place until a day."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date

from pydantic import ValidationError

from sovereign_ml.audit import LineWaiver, void_because
from sovereign_ml.config.leaving import FindingWaiver

INCOMPLETE, EXPIRED, UNUSED = "L51", "L52", "L53"
"""Rules of ``checklist.toml`` about the waivers themselves."""


@dataclass(frozen=True)
class WaiverProblem:
    """A waiver that does not count, with the rule that says why and its place in config.toml."""

    rule: str
    where: str


class Waivers:
    """The waivers that hold on a day, and the problems of the others."""

    def __init__(self, waivers: Sequence[FindingWaiver], today: date) -> None:
        self._valid: list[FindingWaiver] = []
        self._used: set[int] = set()
        self._problems: list[WaiverProblem] = []
        for waiver in waivers:
            name = f"[[leave.waivers]] {waiver.rule} {waiver.where}"
            if lacking := _lacking(waiver):
                self._problems.append(WaiverProblem(INCOMPLETE, f"{name}: {lacking}"))
            elif waiver.until is not None and (void := void_because(waiver.until, today)):
                self._problems.append(
                    WaiverProblem(EXPIRED, f"{name}: that of {waiver.owner} {void}")
                )
            else:
                self._valid.append(waiver)

    def of(self, rule: str, *places: str) -> str:
        """Return owner, date and reason of the waiver for a rule at one of ``places``, or ""."""
        for number, waiver in enumerate(self._valid):
            if waiver.rule == rule and waiver.where in places:
                # A waiver without a finding is reported, or it could hide a later one.
                self._used.add(number)
                return f"waived by {waiver.owner} until {waiver.until}: {waiver.reason}"
        return ""

    def problems(self, rules: Iterable[str]) -> Iterator[WaiverProblem]:
        """Yield the problems, and the waivers for ``rules`` that no finding needed.

        Call this after every finding was asked for, with the rules that were checked.
        """
        checked = set(rules)
        yield from self._problems
        for number, waiver in enumerate(self._valid):
            if number not in self._used and waiver.rule in checked:
                yield WaiverProblem(UNUSED, f"[[leave.waivers]] {waiver.rule} {waiver.where}")


def _lacking(waiver: FindingWaiver) -> str:
    """Return what a waiver lacks by the rules of `churn audit`, "" if it is complete."""
    try:
        LineWaiver(owner=waiver.owner, reason=waiver.reason, until=waiver.until)
    except ValidationError as error:
        names = ", ".join(str(problem["loc"][0]) for problem in error.errors())
        return f"it needs owner, reason (10 characters) and until (a date); wrong: {names}"
    return ""
