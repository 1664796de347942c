"""``contract.json``: the inputs of the model, their words, and the links between them."""

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
"""The effect of a higher value of a feature on the risk."""


class BundleModel(BaseModel):
    """A frozen model of a bundle's file, without unknown keys, infinity and NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class FeatureSpec(BundleModel):
    """One input: allowed values, and the words that explain a score to a person.

    ``expected`` is the effect of a higher value that experts expect, None without one.
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
            raise ValueError(
                f"{self.name} is a category without higher and lower values, "
                "so it has no expected direction"
            )
        return self


class Nested(BundleModel):
    """Totals of windows that contain each other, shortest first.

    An event of one window is also in the longer ones. Where the minimum is 0 or more, a longer
    window never holds less than a shorter one.
    """

    kind: Literal["nested"] = "nested"
    features: tuple[str, ...] = Field(min_length=2)


class Ratio(BundleModel):
    """``feature`` is ``over`` divided by ``under``."""

    kind: Literal["ratio"] = "ratio"
    feature: str
    over: str
    under: str


class Window(BundleModel):
    """A total of the last ``days`` days. ``one_event`` is a number or the feature with it."""

    feature: str
    days: int
    one_event: float | str = 1.0


class Since(BundleModel):
    """``feature`` counts the days since the last event, so a shorter window is empty (equals 0)."""

    kind: Literal["since"] = "since"
    feature: str
    windows: tuple[Window, ...] = Field(min_length=1)


Link = Annotated[Nested | Ratio | Since, Field(discriminator="kind")]
"""A relation between features that a changed input must respect."""


class FeatureContract(BundleModel):
    """The inputs of the model, and the links that a changed input must respect."""

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
        """Return groups of features that look at the same events, those of one window."""
        windows = [w for link in self.links if isinstance(link, Since) for w in link.windows]
        # A dict and not a set, so that the groups keep the order of the contract.
        days = dict.fromkeys(window.days for window in windows)
        groups = [tuple(dict.fromkeys(w.feature for w in windows if w.days == d)) for d in days]
        return tuple(names for names in groups if len(names) > 1)

    @property
    def linked(self) -> tuple[tuple[str, ...], ...]:
        """Return the features in groups that are linked in any way. Others are alone.

        Linked features are views of the same events, so data cannot separate their effects
        well. A reader gets their joint effect.
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
        """Return the feature called ``name``. Raises KeyError that lists the known ones."""
        for feature in self.features:
            if feature.name == name:
                return feature
        raise KeyError(f"unknown feature {name!r}: {', '.join(row.name for row in self.features)}")


def links_between(links: Iterable[Link], names: Collection[str]) -> tuple[Link, ...]:
    """Return the parts of ``links`` that only use the features ``names``."""
    remaining: list[Link] = []
    for link in links:
        match link:
            case Nested():
                rest = tuple(name for name in link.features if name in names)
                remaining += [Nested(features=rest)] if len(rest) > 1 else []
            case Since():
                windows = tuple(
                    window
                    for window in link.windows
                    if _mentioned(Since(feature=link.feature, windows=(window,))) <= set(names)
                )
                whole = link.feature in names and windows
                remaining += [Since(feature=link.feature, windows=windows)] if whole else []
            case Ratio():
                remaining += [link] if _mentioned(link) <= set(names) else []
    return tuple(remaining)


def _mentioned(link: Nested | Ratio | Since) -> set[str]:
    match link:
        case Nested():
            return set(link.features)
        case Ratio():
            return {link.feature, link.over, link.under}
        case Since():
            amounts = {row.one_event for row in link.windows if isinstance(row.one_event, str)}
            return {link.feature, *amounts, *(window.feature for window in link.windows)}
