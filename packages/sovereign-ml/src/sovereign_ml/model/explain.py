"""Explanations of one score, of many scores at once, and of the whole scorecard.

They are the model itself and no approximation of it. GDPR Article 15(1)(h), as read in CJEU
C-203/22, paragraphs 58-62, asks which inputs were used, how each weighed and what would have
changed the result, in words. A formula alone is not enough.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract, FeatureSpec
from sovereign_ml.model import wording
from sovereign_ml.model.counterfactual import Counterfactual, Finder
from sovereign_ml.model.feasible_changes import Row, Value, missing
from sovereign_ml.model.scorecard import Curve, Floats, Scorecard, sigmoid
from sovereign_ml.texts import ENGLISH, Catalogue

NO_CHANGE = ENGLISH("changes.none")
_EFFECTS = ("lowers the risk", "leaves the risk as it is", "raises the risk")


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Influence(_Frozen):
    """One input with its value, its log-odds and its share of all influence.

    The log-odds are against the average training customer. Inputs of one window share their
    contribution, see :func:`shared`.
    """

    feature: str
    label: str
    value: Value
    contribution: float
    share: float
    direction: Literal["raises", "lowers", "none"]
    text: str


class Explanation(_Frozen):
    """One score taken apart, with the strongest of ``influences`` first.

    ``intercept`` plus all contributions is ``log_odds``.
    """

    score: float
    log_odds: float
    intercept: float
    band: str
    influences: tuple[Influence, ...]
    counterfactual: Counterfactual | None
    counterfactual_text: str

    def reasons(self, k: int = 3) -> tuple[str, ...]:
        """Return the ``k`` strongest influences in words, without those that have no effect.

        The first is always there: a score of which no input has an effect has a reason too.
        """
        return tuple(
            influence.text
            for place, influence in enumerate(self.influences[:k])
            if place == 0 or influence.direction != "none"
        )


class JointReason(_Frozen):
    """Linked inputs, each with its value in words, and their joint effect on the score."""

    inputs: tuple[str, ...]
    features: tuple[str, ...]
    contribution: float
    share: float
    effect: str


class FeatureInWords(_Frozen):
    """One feature over all values.

    ``spread`` is the most that it can move the log-odds between two customers.
    """

    feature: str
    label: str
    spread: float
    text: str


class ModelInWords(_Frozen):
    """The whole scorecard for a reader: how its parts combine, the bands and the features.

    Features with the widest reach come first.
    """

    how_combined: str
    thresholds: str
    features: tuple[FeatureInWords, ...]


class Explainer:
    """Explanations of the scores of one bundle's model, contract and policy."""

    def __init__(self, model: Scorecard, contract: FeatureContract, policy: DecisionPolicy) -> None:
        self._model = model
        self._policy = policy
        self._finder = Finder(model, contract, policy)
        self._specs = specs_as_modelled(model, contract)
        self._windows = windows_of(model, contract)
        self._groups = contract.linked

    @property
    def policy(self) -> DecisionPolicy:
        """Return the bands and their consequences."""
        return self._policy

    def explain(self, row: Row) -> Explanation:
        """Return the explanation of one customer's ``row``, which maps feature names to values.

        A missing value is None. Raises KeyError with the names that ``row`` lacks.
        """
        parts = self._model.contributions(
            {name: [row[name]] for name in self._model.features if name in row}
        )[0]
        log_odds = float(self._model.intercept + parts.sum())
        score = float(sigmoid(np.asarray(log_odds)))
        # The score is computed before: sharing within a window changes the reasons, never the sum.
        parts = shared(parts[None, :], self._windows)[0]
        counterfactual = self._finder.find(row)
        return Explanation(
            score=score,
            log_odds=log_odds,
            intercept=self._model.intercept,
            band=self._policy.band_of(score),
            influences=tuple(self._influences(row, parts)),
            counterfactual=counterfactual,
            counterfactual_text=wording.change(counterfactual, self._specs)
            if counterfactual
            else NO_CHANGE,
        )

    def joint_reasons(
        self, explanation: Explanation, texts: Catalogue = ENGLISH
    ) -> tuple[JointReason, ...]:
        """Return the influences by groups of linked inputs, strongest first.

        One group has one direction, that of its sum. So nobody reads that no purchases raise the
        risk and a long pause lowers it.
        """
        by_name = {influence.feature: influence for influence in explanation.influences}
        total = sum(abs(i.contribution) for i in explanation.influences) or 1.0
        reasons = []
        for group in self._groups:
            members = [by_name[name] for name in group if name in by_name]
            value = sum(member.contribution for member in members)
            if not members:
                continue
            reasons.append(
                JointReason(
                    inputs=tuple(self._input(member, texts) for member in members),
                    features=tuple(member.feature for member in members),
                    contribution=value,
                    share=abs(value) / total,
                    effect=wording.effect(value, texts),
                )
            )
        return tuple(sorted(reasons, key=lambda reason: -abs(reason.contribution)))

    def _input(self, influence: Influence, texts: Catalogue) -> str:
        spec = self._specs[influence.feature]
        value = wording.quantity(spec, influence.value, texts)
        return f"{texts.input(spec.name, spec.label)}: {value}"

    def what_would_change_it(self, explanation: Explanation, texts: Catalogue = ENGLISH) -> str:
        """Return the counterfactual as a sentence of the language."""
        if explanation.counterfactual is None:
            return texts("changes.none")
        return wording.change(explanation.counterfactual, self._specs, texts)

    def _influences(self, row: Row, parts: Floats) -> Iterable[Influence]:
        # All contributions may be zero.
        total = float(np.abs(parts).sum()) or 1.0
        # Stable, so that the same row always names its reasons in the same order.
        for i in np.argsort(-np.abs(parts), kind="stable"):
            name, value = self._model.features[i], float(parts[i])
            spec = self._specs[name]
            reported = None if missing(row[name]) else row[name]
            yield Influence(
                feature=name,
                label=spec.label,
                value=reported,
                contribution=value,
                share=abs(value) / total,
                direction=wording.direction(value),
                text=wording.reason(spec, reported, value),
            )


def specs_as_modelled(model: Scorecard, contract: FeatureContract) -> dict[str, FeatureSpec]:
    """Return the features by name, with an expected direction only where the model keeps to it.

    Trees that were grown under the constraint keep to it too. Every leaf on one side of a split is
    at least as high as every leaf on the other, so a Shapley value never moves against the
    direction.
    """
    return {
        spec.name: spec
        if spec.expected and model.keeps_to(spec.name, spec.expected)
        else spec.model_copy(update={"expected": None})
        for spec in contract.features
    }


def windows_of(model: Scorecard, contract: FeatureContract) -> list[list[int]]:
    """Return the columns of the contributions that look at the same events, for :func:`shared`."""
    place = {name: i for i, name in enumerate(model.features)}
    return [[place[name] for name in names] for names in contract.shared_windows]


def shared(contributions: Floats, windows: Sequence[Sequence[int]]) -> Floats:
    """Return ``contributions`` (n, p) in which features of one window do not contradict each other.

    Purchases and amount of a window are two views of the same orders. The data do not tell how much
    each of them weighs, only both together. Where they point different ways, those that point the
    way of their sum share it in proportion to their sizes, and the others get zero. So nobody is
    told that an amount does the opposite of what its curve shows. The sum of all contributions
    stays the same.
    """
    result = contributions.copy()
    for window in windows:
        parts = contributions[:, window]
        torn = (parts.min(axis=1) < 0) & (parts.max(axis=1) > 0)
        total = parts[torn].sum(axis=1, keepdims=True)
        agreeing = np.where(np.sign(parts[torn]) == np.sign(total), np.abs(parts[torn]), 0.0)
        sizes = agreeing.sum(axis=1, keepdims=True)
        # Where the sum is zero, nothing points its way.
        shares = np.divide(agreeing, sizes, out=np.zeros_like(agreeing), where=sizes > 0)
        result[np.ix_(torn, window)] = shares * total
    return result


def top_reasons(contributions: Floats, k: int = 3) -> NDArray[np.intp]:
    """Return the columns (n, k) of the ``k`` largest contributions (n, p), strongest first."""
    k = min(k, contributions.shape[1])
    size, rows = np.abs(contributions), np.arange(len(contributions))
    top = np.empty((len(contributions), k), dtype=np.intp)
    # Sorting every column of millions of rows would take longer than finding the largest k times.
    for rank in range(k):
        top[:, rank] = size.argmax(axis=1)
        size[rows, top[:, rank]] = -1.0
    return top


def reason_texts(model: Scorecard, contract: FeatureContract) -> list[str]:
    """Return every reason that a score can have, by its code.

    An example is ``average order value: raises the risk``.
    """
    labels = [contract.feature(name).label for name in model.features]
    return [f"{label}: {effect}" for label in labels for effect in _EFFECTS]


def reason_codes(contributions: Floats, k: int = 3) -> NDArray[np.intp]:
    """Return the positions in :func:`reason_texts` of each customer's ``k`` strongest reasons.

    The shape is (n, k).
    """
    top = top_reasons(contributions, k)
    strongest = np.take_along_axis(contributions, top, axis=1)
    signs = np.where(np.abs(strongest) < wording.NOTHING, 0, np.sign(strongest)).astype(np.intp)
    return top * len(_EFFECTS) + signs + 1


def describe_model(
    model: Scorecard, contract: FeatureContract, policy: DecisionPolicy
) -> ModelInWords:
    """Return the scorecard in words.

    It is for the card, the notice of Articles 13(2)(f) and 14(2)(g), and the reviewer.
    """
    features = []
    specs = specs_as_modelled(model, contract)
    for part in model.parts:
        spec = specs[part.name]
        if not model.additive:  # the average effect of a value on many people may turn
            spec = spec.model_copy(update={"expected": None})
        ends = (
            part.log_odds
            if isinstance(part, Curve)
            else (*part.log_odds.values(), part.other_log_odds)
        )
        text = wording.curve(part, spec) if isinstance(part, Curve) else wording.levels(part, spec)
        every = (*ends, part.missing_log_odds) if spec.missing_allowed else tuple(ends)
        features.append(
            FeatureInWords(
                feature=part.name, label=spec.label, spread=max(every) - min(every), text=text
            )
        )
    average = float(sigmoid(np.asarray(model.intercept)))
    return ModelInWords(
        how_combined="Each input adds or takes away points (log-odds); "
        f"with the start value {model.intercept:+.2f} "
        f"(a score of {average:.2f}) they are the score. "
        + (
            "No input changes what another one means."
            if model.additive
            else "How many depends on the other inputs as well; what is told here is the average."
        ),
        thresholds=_thresholds(policy),
        features=tuple(sorted(features, key=lambda feature: -feature.spread)),
    )


def _thresholds(policy: DecisionPolicy) -> str:
    starts = (0.0, *policy.thresholds)
    ends = [f"{name} from {start:g}" for name, start in zip(policy.names, starts, strict=True)]
    return (
        f"Bands by score: {', '.join(ends)}. Something is done from band {policy.action_band} on."
    )
