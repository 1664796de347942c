"""Feature contract (``contract.json``): the inputs of a model, their words and relations."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = [
    "Direction",
    "FeatureContract",
    "FeatureSpec",
    "Link",
    "Nested",
    "Ratio",
    "Since",
    "Window",
]

Direction = Literal["raises", "lowers"]
"""Effect of a larger value on the risk."""


class FrozenModel(BaseModel):
    """Pydantic model that is frozen, and closed to unknown fields, NaN and infinity."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FeatureSpec(FrozenModel):
    """Values that one feature may have, and the words for it in an explanation.

    ``expected`` is the effect of a larger value on the risk that experts expect, None for neither.
    """

    name: str
    dtype: Literal["float", "string"]
    unit: Literal["days", "EUR", "count", "share", "ratio", "category"]
    label: str
    minimum: float | None = None
    maximum: float | None = None
    missing_allowed: bool
    changeable: bool
    necessity_reason: str
    expected: Direction | None = None

    @model_validator(mode="after")
    def _more_means_something(self) -> FeatureSpec:
        if self.expected and self.dtype == "string":
            raise ValueError(f"{self.name} is a category: leave out its expected direction")
        return self


class Nested(FrozenModel):
    """Totals of windows that contain each other, shortest first.

    An event in one window is also in all longer ones. Where the minimum is 0 or more, the total of
    a longer window is never below that of a shorter one.
    """

    kind: Literal["nested"] = "nested"
    features: tuple[str, ...] = Field(min_length=2)


class Ratio(FrozenModel):
    """``feature`` is ``over`` divided by ``under``."""

    kind: Literal["ratio"] = "ratio"
    feature: str
    over: str
    under: str


class Window(FrozenModel):
    """Total of the last ``days`` days. One event adds ``one_event``: a number or a feature."""

    feature: str
    days: int
    one_event: float | str = 1.0


class Since(FrozenModel):
    """Days since the last event: all windows that are shorter are empty (0)."""

    kind: Literal["since"] = "since"
    feature: str
    windows: tuple[Window, ...] = Field(min_length=1)


Link = Annotated[Nested | Ratio | Since, Field(discriminator="kind")]
"""A relation between features that a changed input must respect."""


class FeatureContract(FrozenModel):
    """Inputs of a model, and the links that counterfactuals must respect."""

    schema_version: Literal["1"] = "1"
    features: tuple[FeatureSpec, ...] = Field(min_length=1)
    links: tuple[Link, ...] = ()

    @model_validator(mode="after")
    def _names_are_known_and_unique(self) -> FeatureContract:
        names = [feature.name for feature in self.features]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"features listed twice: {', '.join(twice)}")
        if unknown := sorted(set().union(*map(_mentioned, self.links)) - set(names)):
            raise ValueError(f"links name unknown features: {', '.join(unknown)}")
        return self

    @property
    def shared_windows(self) -> tuple[tuple[str, ...], ...]:
        """Return groups of features of one window, such as its purchases and its amount."""
        names_by_days: dict[int, dict[str, None]] = {}
        for link in self.links:
            for window in link.windows if isinstance(link, Since) else ():
                names_by_days.setdefault(window.days, {})[window.feature] = None
        return tuple(tuple(names) for names in names_by_days.values() if len(names) > 1)

    @property
    def linked(self) -> tuple[tuple[str, ...], ...]:
        """Return the features in groups that are connected by links. Other features are alone.

        The features of a group describe the same events, so that data cannot tell their effects
        apart well. A reader is told their effect together.
        """
        group = {feature.name: {feature.name} for feature in self.features}
        for link in self.links:
            # All features of a group share one set, so that a link of one is a link of all.
            joined = set().union(*(group[name] for name in _mentioned(link)))
            group |= dict.fromkeys(joined, joined)
        ordered = (
            tuple(f.name for f in self.features if f.name in group[feature.name])
            for feature in self.features
        )
        return tuple(dict.fromkeys(ordered))

    def feature(self, name: str) -> FeatureSpec:
        """Return the feature called ``name``. Raises KeyError, with the names of all features."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(f"unknown feature {name!r}: {', '.join(row.name for row in self.features)}")


def links_between(links: Iterable[Link], names: Collection[str]) -> tuple[Link, ...]:
    """Return ``links`` without the windows and totals of features other than ``names``."""
    reduced: list[Link] = []
    for link in links:
        match link:
            case Nested():
                features = tuple(name for name in link.features if name in names)
                if len(features) > 1:
                    reduced.append(Nested(features=features))
            case Since():
                windows = tuple(
                    window
                    for window in link.windows
                    if _mentioned(Since(feature=link.feature, windows=(window,))) <= set(names)
                )
                if windows:
                    reduced.append(Since(feature=link.feature, windows=windows))
            case Ratio():
                if _mentioned(link) <= set(names):
                    reduced.append(link)
    return tuple(reduced)


def _mentioned(link: Nested | Ratio | Since) -> set[str]:
    match link:
        case Nested():
            return set(link.features)
        case Ratio():
            return {link.feature, link.over, link.under}
        case Since():
            amounts = {row.one_event for row in link.windows if isinstance(row.one_event, str)}
            return {link.feature, *amounts, *(window.feature for window in link.windows)}
