"""Equality of two values within the tolerance, in SQL."""

from __future__ import annotations

from sovereign_ml.config.leaving import FeatureTolerance


def number_differs(old: str, new: str, tolerance: FeatureTolerance) -> str:
    """Return SQL for whether two numbers differ by more than the tolerance. NULL equals NULL."""
    limit = (
        f"greatest({tolerance.absolute!r}, "
        f"{tolerance.relative!r} * greatest(abs({old}), abs({new})))"
    )
    return (
        f"CASE WHEN {old} IS NULL OR {new} IS NULL THEN ({old} IS NULL) <> ({new} IS NULL) "
        f"WHEN {old} = {new} THEN false "
        # The difference of two infinite numbers is none, and infinite limits allow everything.
        f"ELSE NOT (isfinite({old}) AND isfinite({new})) OR abs({old} - {new}) > {limit} END"
    )
