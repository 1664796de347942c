"""The parts of the evaluation report: figures, groups, feature worth, attack, explanations."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from sovereign_ml.config.tables import EvaluateSettings, ScoreSettings
from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.evaluation import bootstrap, metrics, proxies
from sovereign_ml.model.explain import Explainer
from sovereign_ml.model.scorecard import Floats

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "LeaveOut",
    "Procedure",
    "constraints",
    "elimination",
    "explanations",
    "feature_worth",
    "figures",
    "groups",
    "left_out",
    "left_out_in_words",
    "membership",
    "rolling",
    "split",
]

SAMPLE = 200  # customers for whom a counterfactual is searched


@dataclass(frozen=True)
class Procedure:
    """The training procedure of a team.

    ``fit(rows)`` returns a `Model`, ``inputs(rows)`` its columns. ``blocks(pipeline)`` names
    the columns, by position, that a feature alone has in the matrix of the last step. The other
    features are measured by a fit from the start.
    """

    fit: Callable[[pd.DataFrame], Any]
    inputs: Callable[[pd.DataFrame], pd.DataFrame]
    target: str
    numeric: Sequence[str]
    categorical: Sequence[str]
    blocks: Callable[[Any], Mapping[str, Sequence[int]]] | None = None

    def labels(self, rows: pd.DataFrame) -> metrics.Labels:
        """Return the label of each row, shape (n,)."""
        return rows[self.target].to_numpy(dtype=np.int64)

    def probability(self, fitted: Any, rows: pd.DataFrame) -> Floats:
        """Return the predicted probability of each row, shape (n,)."""
        result: Floats = fitted.probability(rows)
        return result


def split(everything: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the rows of the older cut-offs, and those of the newest one: the test set."""
    newest = everything["event_timestamp"].max()
    is_test = everything["event_timestamp"] == newest
    return everything[~is_test], everything[is_test].reset_index(drop=True)


def figures(
    y: metrics.Labels,
    p: Floats,
    *,
    baselines: Mapping[str, Floats],
    benchmark: tuple[str, Floats],
    config: EvaluateSettings,
    score: ScoreSettings,
) -> dict[str, Any]:
    """Return the headline figures of probabilities ``p`` (n,) on labels ``y`` (n,), with intervals.

    ``baselines`` and ``benchmark`` (name, probabilities) are measured on the same resamples.
    """
    measure = bootstrap.all_metrics()
    name, q = benchmark
    ranked, other_ranked = bootstrap.Ranked(y, p), bootstrap.Ranked(y, q)
    measured, other_measured = [], []
    for weights in bootstrap.resamples(y, config.bootstrap, config.seed):
        measured.append(ranked.figures(weights) | ranked.calibration(weights))
        other_measured.append(other_ranked.figures(weights))
    draws, other_draws = bootstrap.drawn(measured), bootstrap.drawn(other_measured)
    model = {k: bootstrap.interval(metric(y, p), draws[k]) for k, metric in measure.items()}
    pair = ("roc_auc", "brier")
    others = {k: bootstrap.interval(measure[k](y, q), other_draws[k]) for k in pair}
    # Both were measured on the same resamples: the interval of a difference is a paired one.
    differences = {
        f"{k}_difference": bootstrap.interval(
            measure[k](y, q) - measure[k](y, p), other_draws[k] - draws[k]
        )
        for k in pair
    }
    # The best constant there is, known only afterwards: the strictest one to beat.
    rate = np.full(len(y), y.mean())
    constant = {k: metrics.rounded(measure[k](y, rate)) for k in ("brier", "log_loss")}
    rules = {
        label: {k: metrics.rounded(measure[k](y, values)) for k in ("roc_auc", "brier")}
        for label, values in baselines.items()
    }
    return {
        "customers": len(y),
        "base_rate": metrics.rounded(y.mean()),
        "model": model,
        "baselines": {"constant_rate": constant, **rules},
        "benchmark": {"name": name, **others, **differences},
        "lift": metrics.lift(y, p, config.contact_budget),
        "at_threshold": metrics.at_threshold(y, p, score.action_threshold),
        "calibration_bins": metrics.bins(y, p),
    }


def constraints(
    y: metrics.Labels, held: Floats, free: Floats, config: EvaluateSettings
) -> dict[str, Any]:
    """Return the cost of the expected directions: figures without them minus figures with them.

    ``held`` and ``free`` (n,) are the probabilities with and without, on labels ``y`` (n,) and
    the same resamples.
    """
    with_them, without = bootstrap.Ranked(y, held), bootstrap.Ranked(y, free)

    def differences(weights: metrics.Labels) -> dict[str, float]:
        bound, freed = with_them.figures(weights), without.figures(weights)
        return {f"{name}_difference": freed[name] - bound[name] for name in ("roc_auc", "brier")}

    return bootstrap.intervals(y, differences, config.bootstrap, config.seed)


def groups(
    procedure: Procedure,
    test: pd.DataFrame,
    p: Floats,
    *,
    slices: Mapping[str, pd.Series[Any]],
    people: Mapping[str, pd.Series[Any]],
    config: EvaluateSettings,
    score: ScoreSettings,
) -> dict[str, Any]:
    """Return figures of each slice and group of ``test``, gaps between groups, and proxies of them.

    ``p`` (n,) are the probabilities of ``test``. ``slices`` and the protected groups ``people`` are
    aligned with it. Groups of fewer than ``[evaluate] min_group`` people are left out.
    """
    y, smallest = procedure.labels(test), config.min_group
    return {
        "slices": metrics.slices(y, p, {**slices, **people}, smallest),
        "fairness": metrics.fairness(y, p, people, score.action_threshold, smallest),
        "associations": proxies.associations(
            test, p, people, smallest, config.seed, procedure.numeric, procedure.categorical
        ),
    }


@dataclass(frozen=True)
class LeaveOut:
    """Fits without some features: on one design matrix where every feature has its own columns."""

    procedure: Procedure
    past: pd.DataFrame
    test: pd.DataFrame
    model: Any

    @cached_property
    def _columns(self) -> Mapping[str, Sequence[int]]:
        """Return each feature's columns in the matrix, none where one of worth shares its own."""
        names = [*self.procedure.numeric, *self.procedure.categorical]
        alone = self.procedure.blocks(self.model.pipeline) if self.procedure.blocks else {}
        largest = np.abs(self.model.contributions(self.past)).max(axis=0)
        counts = dict(zip(self.model.shipped.features, largest > 1e-9, strict=True))
        if any(counts[name] for name in names if name not in alone):
            return {}
        return {name: alone.get(name, ()) for name in names}

    @cached_property
    def _designs(self) -> tuple[Floats, Floats]:
        before = self.model.pipeline[:-1]
        past, test = (
            before.transform(self.procedure.inputs(rows)) for rows in (self.past, self.test)
        )
        return past, test

    def without(self, names: Collection[str]) -> tuple[Floats, dict[str, float]]:
        """Return the test probabilities of a fit without ``names``, and the worth of the others.

        The worth is the mean absolute log-odds over the training rows.
        """
        if names and self._columns:
            return self._on_one_matrix(names)
        blank = {name: None if name in self.procedure.categorical else np.nan for name in names}
        past = self.past.assign(**blank)
        fitted = self.procedure.fit(past) if names else self.model
        weight = np.abs(fitted.contributions(past)).mean(axis=0)
        worth = dict(zip(fitted.shipped.features, map(float, weight), strict=True))
        return self.procedure.probability(fitted, self.test.assign(**blank)), worth

    def _on_one_matrix(self, names: Collection[str]) -> tuple[Floats, dict[str, float]]:
        from sklearn.base import clone

        # A column of zeros gets the weight zero, and the others keep their places.
        places = [place for name in names for place in self._columns[name]]
        past, test = (design.copy() for design in self._designs)
        past[:, places] = test[:, places] = 0.0
        regression = clone(self.model.pipeline[-1]).fit(past, self.procedure.labels(self.past))
        weights = regression.coef_.ravel()
        worth = {}
        for name, own in self._columns.items():
            parts = past[:, list(own)] @ weights[list(own)]
            worth[name] = float(np.abs(parts - parts.mean()).mean())
        p: Floats = regression.predict_proba(test)[:, 1]
        return p, worth


def feature_worth(fits: LeaveOut) -> list[dict[str, Any]]:
    """Return each feature's mean absolute log-odds on test rows, and the AUC lost without it."""
    from sklearn.metrics import roc_auc_score

    procedure, model, past, test = fits.procedure, fits.model, fits.past, fits.test
    y = procedure.labels(test)
    whole = roc_auc_score(y, procedure.probability(model, test))
    contributions = model.contributions(test)
    weight = dict(zip(model.shipped.features, np.abs(contributions).mean(axis=0), strict=True))
    return [
        {
            "name": name,
            "importance": metrics.rounded(weight.get(name, 0.0)),
            "ablation_delta": metrics.rounded(whole - roc_auc_score(y, fits.without([name])[0])),
            "missing_share": metrics.rounded(past[name].isna().mean()),
        }
        for name in (*procedure.numeric, *procedure.categorical)
    ]


def elimination(fits: LeaveOut, config: EvaluateSettings) -> list[dict[str, Any]]:
    """Leave out one feature after the other, and return the ROC AUC lost against all of them.

    Each round leaves out the feature of least worth to the fit before, which saw training rows
    alone (recursive elimination, Guyon et al. 2002). At least one feature stays.
    """
    names = [*fits.procedure.numeric, *fits.procedure.categorical]
    y, (p, worth) = fits.procedure.labels(fits.test), fits.without(())
    scores, left_out = [p], list[str]()
    while len(left_out) < len(names) - 1:
        rest = [name for name in names if name not in left_out]
        left_out.append(min(rest, key=lambda name: worth.get(name, 0.0)))
        p, worth = fits.without(left_out)
        scores.append(p)
    # Every fit is measured on the same resamples, so the intervals are paired.
    ranked = [bootstrap.Ranked(y, p) for p in scores]

    def losses(weights: metrics.Labels) -> dict[str, float]:
        whole, *without = (fit.roc_auc(weights) for fit in ranked)
        return {name: whole - area for name, area in zip(left_out, without, strict=True)}

    losses_by_name = bootstrap.intervals(y, losses, config.bootstrap, config.seed)
    return [
        {"name": name, "inputs_left": len(names) - place, "loss": losses_by_name[name]}
        for place, name in enumerate(left_out, start=1)
    ]


def left_out(
    procedure: Procedure,
    everything: pd.DataFrame,
    candidates: pd.DataFrame,
    config: EvaluateSettings,
) -> dict[str, Any] | None:
    """Return the columns that only ``candidates`` has, and the ROC AUC lost without them.

    Both frames have the same rows. Each cut-off from the third on is predicted from the earlier
    ones, with and without these columns, and the losses are averaged. None where nothing is
    left out.
    """
    import pandas as pd

    names = [name for name in candidates if name not in everything]
    if not names:
        return None
    # Many cut-offs tell small losses from noise better than one. A resample draws customers, who
    # have rows at several cut-offs, and both fits are measured on it: the interval is paired.
    codes, people = pd.factorize(everything["customer_id"])
    pairs = []
    for cutoff in sorted(everything["event_timestamp"].unique())[2:]:
        past = (everything["event_timestamp"] < cutoff).to_numpy()
        now = (everything["event_timestamp"] == cutoff).to_numpy()
        y = procedure.labels(everything[now])
        whole, rest = (
            bootstrap.Ranked(y, procedure.probability(procedure.fit(rows[past]), rows[now]))
            for rows in (candidates, everything)
        )
        pairs.append((codes[now], y, whole, rest))

    def loss(drawn: metrics.Labels) -> float:
        losses = [
            whole.roc_auc(drawn[rows]) - rest.roc_auc(drawn[rows])
            for rows, y, whole, rest in pairs
            if 0 < drawn[rows] @ y < drawn[rows].sum()  # no area without both labels
        ]
        return float(np.mean(losses))

    rng, count = np.random.default_rng(config.seed), len(people)
    draws = [
        loss(np.bincount(rng.integers(0, count, count), minlength=count))
        for _ in range(config.bootstrap)
    ]
    interval = bootstrap.interval(loss(np.ones(count, dtype=np.int64)), np.array(draws))
    return {"names": names, "cutoffs": len(pairs), "loss": interval}


def left_out_in_words(loss_report: dict[str, Any] | None) -> str:
    """Return the loss without the left-out features as the end of a line, empty without any."""
    if loss_report is None:
        return ""
    loss = loss_report["loss"]
    return (
        f"; without the {len(loss_report['names'])} features that config.toml leaves out "
        f"ROC AUC loses {loss['value']:.3f} ({loss['low']:.3f} to {loss['high']:.3f})"
    )


def membership(procedure: Procedure, past: pd.DataFrame, seed: int) -> float:
    """Return the ROC AUC of a membership-inference attack (Yeom et al. 2018).

    The attacked model learns from half of the customers in ``past``.
    """
    rng = np.random.default_rng(seed)
    ids = past["customer_id"].unique()
    # By customer: a person has rows at several cut-offs, which must not stand on both sides.
    mine = past["customer_id"].isin(ids[rng.random(len(ids)) < 0.5])
    fitted = procedure.fit(past[mine])

    def losses(rows: pd.DataFrame) -> Floats:
        p = procedure.probability(fitted, rows)
        # A forest may be certain, and no area under a curve holds an infinite loss.
        tiny = np.finfo(p.dtype).eps
        likely = np.where(procedure.labels(rows) == 1, p, 1 - p)
        result: Floats = -np.log(np.clip(likely, tiny, 1 - tiny))
        return result

    return metrics.membership_auc(losses(past[mine]), losses(past[~mine]))


def rolling(procedure: Procedure, everything: pd.DataFrame) -> list[dict[str, Any]]:
    """Return figures of the procedure: each cut-off predicted from the earlier ones only."""
    measure = bootstrap.all_metrics()
    rows = []
    # The first two cut-offs are only learned from.
    for cutoff in sorted(everything["event_timestamp"].unique())[2:]:
        past = everything[everything["event_timestamp"] < cutoff]
        now = everything[everything["event_timestamp"] == cutoff]
        y, p = procedure.labels(now), procedure.probability(procedure.fit(past), now)
        values = {name: metrics.rounded(measure[name](y, p)) for name in ("roc_auc", "brier")}
        share = metrics.rounded(y.mean())
        rows.append(
            {"cutoff": f"{cutoff:%Y-%m-%d}", "customers": len(y), "base_rate": share, **values}
        )
    return rows


def explanations(
    model: Any,
    rows: pd.DataFrame,
    *,
    procedure: Procedure,
    contract: FeatureContract,
    policy: DecisionPolicy,
    seed: int,
) -> dict[str, Any]:
    """Return how faithful and how helpful the explanations are.

    ``fidelity`` is the largest gap in probability on ``rows`` between the explained part of
    ``model`` and the fit. Coverage is the share of a sample for which a change of inputs leads
    to another band.
    """
    explainer = Explainer(model.shipped, contract, policy)
    gap = model.explain_fidelity(rows)
    sample = procedure.inputs(rows).sample(min(SAMPLE, len(rows)), random_state=seed)
    people = [{str(name): v for name, v in row.items()} for row in sample.to_dict("records")]
    explained = [explainer.explain(row).counterfactual is not None for row in people]
    return {
        "fidelity": float(f"{gap:.0e}"),
        "counterfactual_coverage": metrics.rounded(np.mean(explained)),
        "counterfactual_sample": len(explained),
    }
