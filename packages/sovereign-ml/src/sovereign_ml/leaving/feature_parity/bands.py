"""Effect of differing features on the bands: both values scored by the served model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sovereign_ml.decisions.decision_policy import DecisionPolicy
from sovereign_ml.decisions.feature_contract import FeatureContract
from sovereign_ml.leaving.feature_parity.result import BandEffect, ComparedFeature
from sovereign_ml.model.scorecard import Scorecard
from sovereign_ml.storage import duckdb as db

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_AT_ONCE = 131_072


class ServedModel:
    """Model, contract and policy of the bundle, with what the rows scored so far add up to."""

    def __init__(self, model: Scorecard, contract: FeatureContract, policy: DecisionPolicy) -> None:
        self._model, self._policy = model, policy
        self._specs = {spec.name: spec for spec in contract.features}
        self._effect = BandEffect()
        self._people: set[str] = set()

    def score(
        self, connection: duckdb.DuckDBPyConnection, features: Sequence[ComparedFeature]
    ) -> None:
        """Score the rows of ``pairs`` whose inputs differ, with old and with new values."""
        inputs = self._inputs(features)
        if not inputs:
            return
        names = self._model.features
        columns = [f"s.{db.quoted(name)} AS new{i}" for i, name in enumerate(names)]
        columns += [
            f"p.o{inputs[name]} AS old{i}" for i, name in enumerate(names) if name in inputs
        ]
        rows = connection.sql(
            f"SELECT s.customer_id, {', '.join(columns)} FROM snapshots s JOIN pairs p "  # noqa: S608
            "ON s.customer_id = p.customer_id AND s.event_timestamp = p.moment "
            "SEMI JOIN (FROM differences WHERE cause IS DISTINCT FROM 'no number' AND feature IN "
            f"({', '.join(map(str, inputs.values()))})) d "
            "ON s.customer_id = d.customer_id AND s.event_timestamp = d.moment"
        ).to_arrow_reader(_AT_ONCE)
        for batch in rows:
            self._score(batch)

    def _inputs(self, features: Sequence[ComparedFeature]) -> dict[str, int]:
        """Return the number of the old feature that is an input of the model, by its name."""
        inputs = {}
        for number, feature in enumerate(features):
            # Of any other expression the input cannot be computed back.
            plain = re.fullmatch(r'\(*"?(\w+)"?\)*', feature.expression.strip())
            if plain and plain[1] in self._model.features:
                inputs[plain[1]] = number
        return inputs

    def _score(self, batch: pa.RecordBatch) -> None:
        categories = {part.name for part in self._model.categorical}
        old, new = {}, {}
        usable = np.ones(batch.num_rows, dtype=bool)
        for number, name in enumerate(self._model.features):
            new[name] = _values(batch[f"new{number}"], text=name in categories)
            old[name] = new[name]
            if f"old{number}" in batch.schema.names:
                old[name] = _values(batch[f"old{number}"], text=name in categories)
                usable &= self._accepted(name, old[name])
        # A row that the service would refuse gets no band there, so it changes none.
        before, now = self._model.probability(old)[usable], self._model.probability(new)[usable]
        changed = self._policy.band_index(before) != self._policy.band_index(now)
        effect = self._effect
        effect.rows += int(usable.sum())
        effect.refused += int((~usable).sum())
        effect.changed += int(changed.sum())
        if len(before):
            effect.largest = max(effect.largest, float(np.abs(before - now).max()))
        ids = np.asarray(batch["customer_id"].to_pylist(), dtype=object)
        self._people.update(ids[usable][changed])

    def _accepted(self, name: str, values: NDArray[Any]) -> NDArray[np.bool_]:
        """Return which values the service accepts for a feature, shape (n,)."""
        spec = self._specs[name]
        if spec.dtype == "string":
            missing = np.asarray([value is None for value in values], dtype=bool)
            return ~missing | spec.missing_allowed
        missing = np.isnan(values)
        low = -np.inf if spec.minimum is None else spec.minimum
        high = np.inf if spec.maximum is None else spec.maximum
        return np.where(missing, spec.missing_allowed, (values >= low) & (values <= high))

    def effect(self, features: Sequence[ComparedFeature]) -> BandEffect:
        """Return the effect over all rows scored so far."""
        self._effect.people = len(self._people)
        inputs = self._inputs(features)
        self._effect.inputs_not_compared = tuple(
            name for name in self._model.features if name not in inputs
        )
        return self._effect


def _values(column: pa.Array, *, text: bool) -> NDArray[Any]:
    if text:
        return np.asarray(column.to_pylist(), dtype=object)
    values: NDArray[Any] = column.cast("double").to_numpy(zero_copy_only=False)
    return values
