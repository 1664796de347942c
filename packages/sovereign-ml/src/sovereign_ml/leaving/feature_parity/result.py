"""Result of a comparison of features: counts by feature and cause, and a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

CAUSES = {
    "missing there": "the old store has no value, and ours has one",
    "missing here": "the old store has a value, and ours has none",
    "missing filled": "one side fills a missing value with 0, -1, 999 or an empty text",
    "no number": "the old value is no number",
    "spelling": "the texts differ in case or white space only",
    "rounding": "the old value is rounded or cut off",
    "unit": "the old value is a multiple of ours: another unit",
    "time zone": "the old value is whole hours away: times were read in another zone",
    "window edge": "the old value is ours as of another end of the window",
    "short history": "our transactions begin within the look-back of the moment",
    "late": "the old row was written more than a day after its event time",
    "unexplained": "no known cause fits",
}
"""Likely causes of a difference. The first that fits is given."""


@dataclass
class ComparedFeature:
    """An old feature and its SQL ``expression`` over ours. ``kind`` is "number" or "text"."""

    name: str
    expression: str
    kind: str
    compared: int = 0
    both_missing: int = 0
    differing: int = 0
    largest: float = 0.0
    """Largest absolute difference of two numbers."""
    causes: Counter[str] = field(default_factory=Counter)
    details: dict[str, str] = field(default_factory=dict)
    """For some causes what fits, such as the number of hours."""


@dataclass
class BandEffect:
    """Effect of the old values on the scores of the served model."""

    rows: int = 0
    """Rows with a difference in an input of the model, scored with old and new values."""
    changed: int = 0
    """Rows in another band."""
    people: int = 0
    """People with such a row."""
    refused: int = 0
    """Rows whose old values the service would refuse."""
    largest: float = 0.0
    inputs_not_compared: tuple[str, ...] = ()
    """Inputs of the model that no old feature is."""


@dataclass
class FeatureParity:
    """Comparison of one feature group.

    ``rows`` are those at the replayed moments. Each is compared or counted under ``skipped``.
    """

    group: str
    source: str
    rows: int = 0
    compared: int = 0
    moments: int = 0
    all_moments: int = 0
    all_rows: int = 0
    outside: int = 0
    """Old rows before the first or after the newest day of our data."""
    skipped: Counter[str] = field(default_factory=Counter)
    extra: int = 0
    """Rows of people whom the flow scores and of whom the old store has no row until then."""
    carried: int = 0
    """Rows of people whose newest row in the old store is older. They are not compared."""
    features: list[ComparedFeature] = field(default_factory=list)
    without_counterpart: tuple[str, ...] = ()
    sample: list[dict[str, Any]] = field(default_factory=list)
    effect: BandEffect | None = None

    @property
    def differing(self) -> int:
        """Return the number of values that differ by more than the tolerance."""
        return sum(feature.differing for feature in self.features)

    @property
    def values(self) -> int:
        """Return the number of compared values."""
        return sum(feature.compared for feature in self.features)

    def verdict(self, may_differ: float, may_lack: float) -> str:
        """Return "same", "differs", or "not shown" if a share over ``may_lack`` was skipped."""
        # Differences come first: rows that are missing cannot undo one.
        if any(row.differing > may_differ * row.compared for row in self.features):
            return "differs"
        lacking = sum(self.skipped.values()) + self.extra
        if not self.compared or lacking > may_lack * (self.rows + self.extra):
            return "not shown"
        return "same"

    def to_json(self) -> dict[str, Any]:
        """Return one object for other programs."""
        causes = sum((feature.causes for feature in self.features), Counter[str]())
        features = [{**vars(feature), "causes": dict(feature.causes)} for feature in self.features]
        return {
            **vars(self),
            "values": self.values,
            "differing": self.differing,
            "skipped": dict(self.skipped),
            "features": features,
            "effect": asdict(self.effect) if self.effect else None,
            "causes": dict(causes),
        }

    def lines(self) -> Iterator[str]:
        """Yield the comparison as a table in plain text."""
        yield (
            f"{self.group}, {self.source}: {self.compared:,} of {self.rows:,} rows compared at "
            f"{self.moments:,} of {self.all_moments:,} moments; {self.differing:,} of "
            f"{self.values:,} values differ"
        )
        if self.moments < self.all_moments:
            yield (f"  a sample of {self.all_rows:,} rows: --moments sets the number of moments")
        if self.outside:
            yield f"  {self.outside:,} rows are outside the days of our transactions"
        for reason, count in self.skipped.most_common():
            yield f"  left: {count:,}, {reason}"
        if self.extra:
            yield f"  left: {self.extra:,}, only here: the old store has no row of the person yet"
        if self.carried:
            yield f"  {self.carried:,} rows of ours have an older row there, and none at the moment"
        rows = [
            (
                *(row.name, f"{row.compared:,}", f"{row.both_missing:,}"),
                *(f"{row.differing:,}", f"{row.largest:.6g}", _causes(row)),
            )
            for row in self.features
        ]
        head = ("feature", "compared", "both missing", "differ", "largest", "likely cause")
        yield from _table([head, *rows])
        if self.without_counterpart:
            yield f"  not compared, as ours has none of it: {', '.join(self.without_counterpart)}"
        if self.effect is not None:
            yield from _effect(self.effect)
        for cause in sorted({cause for row in self.features for cause in row.causes}):
            yield f"  {cause}: {CAUSES[cause]}"
        for row in self.sample:
            values = f": {row['old']} there, {row['new']} here" if "old" in row else ""
            yield f"    {row['customer_id']} {row['moment']} {row['feature']}{values}"


def _causes(row: ComparedFeature) -> str:
    return ", ".join(
        f"{cause} {count:,}" + (f" ({row.details[cause]})" if cause in row.details else "")
        for cause, count in row.causes.most_common()
    )


def _table(rows: list[tuple[str, ...]]) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = [
            # The name and the cause are text, and numbers line up at their end.
            cell.ljust(width) if number in (0, 5) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _effect(effect: BandEffect) -> Iterator[str]:
    yield (
        f"  {effect.people:,} people change band: {effect.changed:,} of {effect.rows:,} rows with "
        f"a difference; the largest difference of a probability is {effect.largest:.6f}"
    )
    if effect.refused:
        yield f"  {effect.refused:,} rows have an old value that the service would refuse"
    if effect.inputs_not_compared:
        names = ", ".join(effect.inputs_not_compared)
        yield f"  the model also takes {names}, which no old feature was compared with"
