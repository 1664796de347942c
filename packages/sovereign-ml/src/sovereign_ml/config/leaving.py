"""The table [leave] of config.toml: waivers of the checklist, and parity of features."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field

from sovereign_ml.config.profiles import ConfigTable


class FindingWaiver(ConfigTable):
    """Responsibility of a person, until a date, for the findings of a rule at a place.

    A waiver without owner, reason or date is read, so that the audit can report it as a finding.
    """

    rule: Annotated[str, Field(pattern=r"^[LC]\d\d$")]
    where: str
    """The place as the audit prints it, for code the file or ``file:line``."""
    owner: str = ""
    reason: str = ""
    until: date | None = None


class FeatureTolerance(ConfigTable):
    """Largest differences that count as none, such as those of 32-bit numbers."""

    relative: Annotated[float, Field(ge=0, lt=1)] = 1e-6
    """Largest difference as a share of the larger of both numbers."""
    absolute: Annotated[float, Field(ge=0)] = 1e-9
    """Largest difference in the unit of the feature; the larger of both limits holds."""
    may_differ: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of a feature's values that may differ by more."""


class LeaveSettings(ConfigTable):
    """Leaving SageMaker: docs/leave-sagemaker.md."""

    waivers: tuple[FindingWaiver, ...] = ()
    """Findings of `churn leave audit` that a person accepts until a day."""
    person_keys: tuple[str, ...] = ()
    """Names of keys of feature groups that are a person's, beside those that are known as such."""
    parity: dict[str, dict[str, str]] = Field(default={})
    """For each feature group: old feature = SQL expression over the new features."""
    tolerance: FeatureTolerance = FeatureTolerance()
