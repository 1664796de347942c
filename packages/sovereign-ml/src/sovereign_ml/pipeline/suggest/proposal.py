"""A proposal: tables of config.toml with evidence for each line, and questions for a person."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import tomlkit

from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.suggest.trial_run import TrialRun

__all__ = ["NO", "YES", "Candidate", "Proposal", "ProposedSetting", "chosen"]

YES = (
    *("true", "1", "1.0", "t", "yes", "y", "ja", "j", "oui", "si", "sí", "sim", "tak", "granted"),
    *("wahr", "ano", "da", "igen", "kyllä", "jah", "ναι", "да"),
)
NO = (
    *("false", "0", "0.0", "f", "no", "n", "nein", "non", "nee", "nie", "refused", "withdrawn"),
    *("falsch", "nej", "não", "ne", "nu", "nem", "ei", "όχι", "не"),
)
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


TABLES = (
    "data",
    "data.reader",
    "data.columns",
    "data.checks",
    "data.rates",
    "data.customer_columns",
    "label",
)


WIDTH = 116


@dataclass(frozen=True)
class Proposal:
    """Result of `churn data suggest` for a file."""

    file: str
    decisions: Sequence[ProposedSetting]
    notes: Sequence[str]
    trial: TrialRun
    event: str = ""
    """Name of the proposed event table, empty for the transactions."""

    @property
    def open(self) -> list[ProposedSetting]:
        """Return the decisions that a person has to make."""
        return [decision for decision in self.decisions if decision.is_open]

    def toml(self) -> str:
        """Return the proposal as tables of config.toml, with open decisions as commented lines."""
        lines = [
            *_comment(f"Proposal for {self.file}, by `churn data suggest`. Nothing is applied.")
        ]
        for note in self.notes:
            lines += _comment(note)
        for decision in self.open:
            lines += _comment(f'TO DECIDE: {decision.name}  (--set {decision.name}="...")')
        for table in (*TABLES, f"data.events.{self.event}", f"data.events.{self.event}.reader"):
            inside = [decision for decision in self.decisions if decision.table == table]
            if inside:
                lines += ["", f"[{table}]"]
            for decision in inside:
                lines += _decision_lines(decision)
        return "\n".join([*lines, "", *self._trial_lines()]) + "\n"

    def _trial_lines(self) -> Iterator[str]:
        trial = self.trial
        if trial.stopped:
            yield from _comment(f"The trial run stopped: {trial.stopped}")
            return
        if not trial.headline:
            yield from _comment("No trial run before the lines above are decided.")
            return
        open_ = [f"{d.name} = {d.trial_value!r}" for d in self.open]
        with_ = f" with {', '.join(open_)}" if open_ else ""
        yield from _comment(f"Trial run over the whole file{with_}: {trial.headline}.")
        for problem in trial.problems:
            yield from _comment(f"Step 1 would stop: {problem}.")
        yield from _comment(
            "Sample rows; 9 stands for a digit, a for a letter of what may be personal."
        )
        for sample in trial.samples:
            yield from _comment(f"{_pairs(sample.before)}")
            yield from _comment(f"-> {sample.fate}: {_pairs(sample.after)}")

    def applied_to(self, config: str) -> str:
        """Return the text of config.toml with the proposal in it. Other lines and comments stay.

        Raises Misuse where a decision is still open.
        """
        if self.open:
            names = ", ".join(decision.name for decision in self.open)
            raise Misuse(
                f"Not applied: a person has to decide {names}. The proposal lists what speaks for "
                "each; answer with --set KEY=VALUE."
            )
        document = tomlkit.parse(config)
        data = document["data"]
        if self.event:
            # The reader of the file that this table had before must not stay.
            data.get("events", {}).get(self.event, {}).pop("reader", None)
        # Settings for the former file must not stay: what differs for this file follows below.
        for key, value in () if self.event else _plain_reader().items():
            if key in data.get("reader", {}):
                data["reader"][key] = value
        for decision in self.decisions:
            place: Any = document
            for name in decision.table.split("."):
                if name not in place:
                    # A super table has no header of its own, so no empty [data.events] is written.
                    place[name] = tomlkit.table(is_super_table=name == "events" or None)
                place = place[name]
            place[decision.key] = _for_toml(decision.value)
        return tomlkit.dumps(document)


def _plain_reader() -> dict[str, Any]:
    """Return the default settings of a reader, so that those of another file do not stay."""
    return {k: v for k, v in ReaderSettings().model_dump().items() if k != "null_words"}


def _decision_lines(decision: ProposedSetting) -> Iterator[str]:
    for why in decision.why:
        yield from _comment(why)
    if not decision.is_open:
        yield f"{_key(decision.key)} = {_value(decision.value)}"
        return
    yield from _comment(f"TO DECIDE: {decision.name}")
    for candidate in decision.candidates:
        yield from _comment(candidate.evidence) if candidate.evidence else ()
        yield f"# {_key(decision.key)} = {_value(candidate.value)}"


def _key(name: str) -> str:
    return (
        name
        if name.isidentifier() and name.isascii()
        else tomlkit.item({name: 0}).as_string().split(" =")[0]
    )


def _value(value: Any) -> str:
    return str(tomlkit.item(_for_toml(value)).as_string())


def _for_toml(value: Any) -> Any:
    """Return ``value`` in the form that TOML needs.

    A mapping is an inline table, and text with quotes is a literal string.
    """
    if isinstance(value, Mapping):
        table = tomlkit.inline_table()
        table.update(value)
        return table
    if isinstance(value, str) and '"' in value and "'" not in value:
        # SQL quotes names by ", which a basic string would have to escape.
        return tomlkit.string(value, literal=True)
    return list(value) if isinstance(value, tuple) else value


def _pairs(values: Mapping[str, str]) -> str:
    return " | ".join(f"{key}={' '.join(value.split())}" for key, value in values.items())


def _comment(text: str) -> Iterator[str]:
    """Yield ``text`` as lines of comment, folded between words."""
    line = "#"
    for word in text.split():
        if len(line) + len(word) > WIDTH and line != "#":
            yield line
            line = "#  "
        line += f" {word}"
    yield line
