"""The additive scorecard as data: read, check, score and explain it with numpy alone.

``model.json`` holds an intercept (log-odds of the average training customer). For each feature it
holds how far a value moves the log-odds from that average. A score is the sum. The parts of the sum
are the exact explanation (CJEU C-203/22, paragraphs 58-61), not an approximation of another model.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["TRANSFORMS", "Coded", "Columns", "Curve", "Floats", "Levels", "Scorecard", "sigmoid"]

Floats = NDArray[np.float64]
"""An array of 64-bit floats. Each function gives its shape."""


class Coded(NamedTuple):
    """A categorical column of shape (n,) as positions in ``names``, with -1 for missing.

    It is made for millions of rows.
    """

    codes: NDArray[np.integer[Any]]
    names: Sequence[str]


Columns = Mapping[str, Sequence[Any] | NDArray[Any] | Coded]

TRANSFORMS: dict[str, Callable[[Floats], Floats]] = {"identity": np.asarray, "asinh": np.arcsinh}


class _Frozen(BaseModel):
    # A score that is no number would be in the highest band: every comparison with it is false.
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Curve(_Frozen):
    """One numeric feature, piecewise linear between ``knots`` (raw units) on the transformed axis.

    It is flat outside of the knots.
    """

    name: str
    transform: Literal["identity", "asinh"]
    knots: tuple[float, ...] = Field(min_length=2)
    log_odds: tuple[float, ...]
    missing_log_odds: float

    @model_validator(mode="after")
    def _knots_rise(self) -> Curve:
        if len(self.knots) != len(self.log_odds):
            raise ValueError(
                f"{self.name}: {len(self.knots)} knots but {len(self.log_odds)} log-odds"
            )
        # Between knots that do not rise, np.interp gives wrong numbers without an error.
        if any(b <= a for a, b in zip(self.knots, self.knots[1:], strict=False)):
            raise ValueError(f"{self.name}: knots must rise strictly")
        return self

    def keeps_to(self, direction: Literal["raises", "lowers"]) -> bool:
        """Return whether more of the feature never does the opposite of ``direction``."""
        steps = np.diff(self.log_odds)
        return bool((steps >= 0).all() if direction == "raises" else (steps <= 0).all())

    def contribution(self, values: Sequence[Any] | NDArray[Any]) -> Floats:
        """Return the log-odds of raw ``values`` of shape (n,). NaN or None counts as missing."""
        x = np.asarray(values, dtype=np.float64)
        scale = TRANSFORMS[self.transform]
        curve = np.interp(scale(x), scale(np.asarray(self.knots)), self.log_odds)
        return np.where(np.isnan(x), self.missing_log_odds, curve)


class Levels(_Frozen):
    """One categorical feature: a value per category. Unseen categories share ``other_log_odds``."""

    name: str
    log_odds: dict[str, float]
    other_log_odds: float
    missing_log_odds: float

    def contribution(self, values: Sequence[Any] | NDArray[Any] | Coded) -> Floats:
        """Return the log-odds of category names of shape (n,). None counts as missing."""
        if isinstance(values, Coded):
            # Code -1 takes the last entry, which is that of a missing value.
            coded: Floats = self.contribution([*values.names, None])[values.codes]
            return coded
        table: dict[Any, float] = {**self.log_odds, None: self.missing_log_odds}
        other = self.other_log_odds
        return np.fromiter(
            (table.get(v, other) for v in values), dtype=np.float64, count=len(values)
        )


class Scorecard(_Frozen):
    """The whole model.

    Unknown keys are refused, so a file of another shape is never scored by accident.
    """

    schema_version: Literal["1"] = "1"
    target: str
    intercept: float
    numeric: tuple[Curve, ...]
    categorical: tuple[Levels, ...] = ()

    @property
    def parts(self) -> tuple[Curve | Levels, ...]:
        """Return numeric and then categorical parts: the column order of :meth:`contributions`."""
        return (*self.numeric, *self.categorical)

    @property
    def features(self) -> tuple[str, ...]:
        """Return the feature names in the column order of :meth:`contributions`."""
        return tuple(part.name for part in self.parts)

    @property
    def additive(self) -> bool:
        """Return whether the effect of one input never depends on another one."""
        return True

    def keeps_to(self, name: str, direction: Literal["raises", "lowers"]) -> bool:
        """Return whether more of the feature ``name`` never does the opposite of ``direction``."""
        return any(part.name == name and part.keeps_to(direction) for part in self.numeric)

    def stored(self, name: str) -> list[Any]:
        """Return every value of the feature ``name`` that stands in the file."""
        (part,) = (part for part in self.parts if part.name == name)
        return list(part.log_odds) if isinstance(part, Levels) else list(part.knots)

    def _need(self, columns: Columns) -> None:
        """Raise KeyError for features that are not among ``columns``."""
        absent = [name for name in self.features if name not in columns]
        if absent:
            raise KeyError(
                f"missing features: {', '.join(absent)}; the model needs {', '.join(self.features)}"
            )

    def contributions(self, columns: Columns) -> Floats:
        """Return the log-odds per feature, shape (n, p), for ``columns`` of n raw values by name.

        Raises KeyError with the missing names: a value is never invented (None or NaN means
        "missing").
        """
        self._need(columns)
        parts = [part.contribution(columns[part.name]) for part in self.parts]
        return np.column_stack(parts)

    def log_odds(self, columns: Columns) -> Floats:
        """Return the intercept plus all contributions, shape (n,)."""
        total: Floats = self.intercept + self.contributions(columns).sum(axis=1)
        return total

    def probability(self, columns: Columns) -> Floats:
        """Return the probability of the target, shape (n,)."""
        return sigmoid(self.log_odds(columns))


def sigmoid(log_odds: Floats) -> Floats:
    """Return the probability of ``log_odds``."""
    result: Floats = 1.0 / (1.0 + np.exp(-log_odds))
    return result
