"""Interface of a model for train, evaluate, register, the service and the decision log."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeVar

import numpy as np

from sovereign_ml.config.tables import TrainSettings
from sovereign_ml.errors import Misuse
from sovereign_ml.evaluation import fidelity
from sovereign_ml.model import served
from sovereign_ml.model.scorecard import Floats, Scorecard, sigmoid
from sovereign_ml.registry import skops

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["FittedModel", "Model", "model_kind"]

PIPELINE = "model.skops"
M = TypeVar("M", bound="Model")


class Model(Protocol):
    """A fitted model: its probabilities, their reasons, and the part of it that is shipped.

    ``rows`` are rows of step 3. ``algorithm`` is its name on the card.
    """

    algorithm: ClassVar[str]

    @classmethod
    def fit(cls: type[M], rows: pd.DataFrame, strength: float, config: TrainSettings) -> M:
        """Return the model fitted on ``rows``.

        ``strength`` is one of ``[train] regularisation``.
        """
        ...

    @classmethod
    def held_out(
        cls,
        past: pd.DataFrame,
        now: pd.DataFrame,
        strengths: Sequence[float],
        config: TrainSettings,
    ) -> Iterator[Floats]:
        """Yield the probabilities of ``now`` by a fit on ``past`` for each of ``strengths``."""
        ...

    @classmethod
    def from_bundle(cls: type[M], folder: Path) -> M:
        """Read what :meth:`to_bundle` wrote."""
        ...

    def to_bundle(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write ``model.json``, which the service reads, and rows to compare it by.

        Raises Refused where ``model.json`` and the fitted model differ on the training ``rows``.
        """
        ...

    def probability(self, rows: pd.DataFrame) -> Floats:
        """Return the probability of the label, as fitted, shape (n,)."""
        ...

    def contributions(self, rows: pd.DataFrame) -> Floats:
        """Return log-odds per feature, shape (n, p): the reasons that people are given."""
        ...

    def explain_fidelity(self, rows: pd.DataFrame) -> float:
        """Return the largest gap in probability between the explanation and the fitted model."""
        ...

    @property
    def shipped(self) -> Scorecard:
        """Return the content of ``model.json``, which the service reads."""
        ...

    @property
    def pipeline(self) -> Any:
        """Return the fitted object with the interface of scikit-learn, for the run in MLflow."""
        ...


class FittedModel(ABC):
    """A :class:`Model` of a fitted pipeline and its shipped form. Subclasses add ``fit``."""

    algorithm: ClassVar[str]
    trusted: ClassVar[tuple[str, ...]] = ()
    """Types of the pipeline that skops may read, beyond those that it trusts by itself."""

    def __init__(self, pipeline: Any, shipped: Scorecard | Callable[[], Scorecard]) -> None:
        self.pipeline = pipeline
        self._shipped = shipped

    @cached_property
    def shipped(self) -> Scorecard:
        """Return the scorecard that the service reads."""
        # It is made on demand, because most fits of a search are never shipped.
        return self._shipped() if callable(self._shipped) else self._shipped

    @classmethod
    @abstractmethod
    def fit(cls, rows: pd.DataFrame, strength: float, config: TrainSettings) -> FittedModel:
        """Return the model fitted on ``rows``.

        ``strength`` is one of ``[train] regularisation``.
        """

    @classmethod
    def held_out(
        cls,
        past: pd.DataFrame,
        now: pd.DataFrame,
        strengths: Sequence[float],
        config: TrainSettings,
    ) -> Iterator[Floats]:
        """Yield the probabilities (n,) of ``now`` by a fit on ``past`` for each of ``strengths``.

        A kind of model whose inputs do not depend on the strength computes them once.
        """
        for strength in strengths:
            yield cls.fit(past, strength, config).probability(now)

    @staticmethod
    @abstractmethod
    def inputs(rows: pd.DataFrame, /) -> pd.DataFrame:
        """Return the columns that the pipeline takes."""

    @classmethod
    def from_bundle(cls: type[F], folder: Path) -> F:
        """Read what :meth:`to_bundle` wrote. Raises Refused for a type that is not trusted."""
        # Unlike pickle, skops runs no code of the file, and refuses types that are not named here.
        pipeline = skops.read(folder / PIPELINE, cls.trusted)
        return cls(pipeline, served.read(folder / "model.json"))

    def to_bundle(self, folder: Path, rows: pd.DataFrame) -> None:
        """Write ``model.json``, its probes and the pipeline.

        Raises Refused where ``model.json`` and the pipeline differ.
        """
        fidelity.write_model(folder, self.shipped, self.pipeline, self.inputs(rows))
        skops.write(self.pipeline, folder / PIPELINE)

    def probability(self, rows: pd.DataFrame) -> Floats:
        """Return the probability of the label, as fitted, shape (n,)."""
        result: Floats = self.pipeline.predict_proba(self.inputs(rows))[:, 1]
        return result

    def contributions(self, rows: pd.DataFrame) -> Floats:
        """Return log-odds per feature by the shipped model, shape (n, p)."""
        return self.shipped.contributions(fidelity.columns_of(self.inputs(rows)))

    def explain_fidelity(self, rows: pd.DataFrame) -> float:
        """Return the largest gap in probability between shipped model, its reasons and pipeline.

        The reasons count with their sum.
        """
        table = self.inputs(rows)
        gap = fidelity.largest_gap(self.shipped, self.pipeline, table)
        explained = sigmoid(self.shipped.intercept + self.contributions(rows).sum(axis=1))
        return max(gap, float(np.abs(explained - self.pipeline.predict_proba(table)[:, 1]).max()))


F = TypeVar("F", bound=FittedModel)


def model_kind(name: str, kinds: Mapping[str, type[Model]]) -> type[Model]:
    """Return the class that ``[train] model`` names: one of ``kinds``, or ``package.module:Name``.

    Raises Misuse where there is no such class, or where it lacks a part of the interface.
    """
    if name in kinds:
        return kinds[name]
    module, colon, attribute = name.partition(":")
    if not colon:
        choices = ", ".join(f'"{kind}"' for kind in kinds)
        raise Misuse(
            f'[train] model is "{name}": give {choices}, or a class of the project such as '
            '"churn.model:Own".'
        )
    try:
        kind = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise Misuse(f'[train] model = "{name}" cannot be imported: {error}.') from None
    parts = ("fit", "held_out", "from_bundle", "to_bundle", "probability", "contributions")
    if lacking := [
        part for part in (*parts, "explain_fidelity", "algorithm") if not hasattr(kind, part)
    ]:
        raise Misuse(
            f'[train] model = "{name}" is no Model: it lacks {", ".join(lacking)}. '
            "Derive it from FittedModel; docs/extending.md shows one."
        )
    result: type[Model] = kind
    return result
