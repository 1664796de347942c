"""The numbers that the project chooses. Policy, not law: no article gives them (marked † in the rule table)."""

from __future__ import annotations

from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator

ApprovalRole = Literal["business_owner", "model_owner", "legal", "security"]


class RulePolicy(BaseModel):
    """Thresholds of the rules, from ``[card.policy]``. Every number here is policy of this project, not law."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _of_its_own_type(cls, value: Any, info: ValidationInfo) -> Any:
        """Refuse "0.9" and true for a number: nobody reads them as the number that they would become."""
        default = cls.model_fields[info.field_name or ""].default
        # In Python a bool is an int too, and pydantic reads "0.9" as a number.
        if isinstance(default, int | float) and not (
            isinstance(value, int | float) and not isinstance(value, bool)
        ):
            raise ValueError(f"is {value!r}, which is no number")
        return value

    open_answers: Literal["warn", "block"] = Field(
        "block", description="warn while trying out; block for real data"
    )
    review_min_cases: int = Field(
        200, gt=0, description="Cases after which no override at all is suspicious (R18)"
    )
    review_min_median_seconds: float = Field(
        20, ge=0, description="Faster than this is no review (R18)"
    )
    review_min_catch_rate: float = Field(
        0.8, ge=0, le=1, description="Planted errors that reviewers must catch (R18)"
    )
    review_test_days: int = Field(
        365, gt=0, description="How long a test of the reviewers counts (R18)"
    )
    max_agreement: float = Field(
        0.98, gt=0, le=1, description="More agreement means that the score decides (R19)"
    )
    tolerated_loss: float = Field(
        0.005, ge=0, description="Inputs whose ROC AUC is surely below this are unnecessary (R33)"
    )
    min_group: int = Field(50, gt=0, description="Smaller groups give no fairness figure (R52)")
    max_fairness_tolerance: float = Field(
        0.2, gt=0, le=1, description="No answer may tolerate a larger gap (R52)"
    )
    max_association: float = Field(
        0.25, gt=0, le=1, description="Cramer's V from which an input gives a group away (R12, R52)"
    )
    max_shift: float = Field(
        0.25,
        gt=0,
        le=1,
        description="Share of people that may differ between training and scoring (F02)",
    )
    max_withdrawal_hours: float = Field(
        72, gt=0, description="Scoring stops this soon after withdrawal (R08)"
    )
    max_objection_hours: float = Field(
        72, gt=0, description="Offers stop this soon after an objection (R63)"
    )
    evidence_valid_days: int = Field(1095, gt=0, description="Evidence older than this warns (R67)")
    max_review_days: int = Field(
        1095, gt=0, description="No review may be further away than this (R67)"
    )
    max_waiver_days: int = Field(365, gt=0, description="No waiver may run longer than this (R70)")
    max_retention_days: int = Field(
        3650, gt=0, description="No object may be kept longer than this (R34)"
    )
    law_valid_days: int = Field(
        365, gt=0, description="The rules are reviewed against the law this often (R55)"
    )
    grace_days: int = Field(
        30, ge=0, description="An expired date warns this long, then blocks (R55)"
    )
    max_monitor_days: int = Field(
        8, gt=0, description="The model in use is watched at least this often (M01)"
    )
    answer_within_days: int = Field(
        5, gt=0, description="An alarm of the monitor is answered this soon (M02)"
    )
    max_data_age_days: int = Field(
        90, gt=0, description="Promotion needs test data no older than this"
    )
    approval_roles: tuple[ApprovalRole, ...] = Field(
        ("business_owner", "model_owner"), min_length=1, description="Who must approve (R48)"
    )
    metric: Literal["roc_auc", "pr_auc"] = Field(
        "roc_auc", description="The metric that must not fall at promotion; higher is better"
    )
    metric_tolerance: float = Field(0.01, ge=0, description="How much that metric may fall")

    @field_validator("approval_roles")
    @classmethod
    def _roles_differ(cls, roles: tuple[ApprovalRole, ...]) -> tuple[ApprovalRole, ...]:
        """Refuse a role that is named twice: one approval would count for both."""
        if twice := sorted({role for role in roles if roles.count(role) > 1}):
            raise ValueError(f"names {', '.join(twice)} twice")
        return roles

    def on_card(self) -> dict[str, Any]:
        """Return what the card says of every number: its value, the default, and how far it may go."""
        values = self.model_dump(mode="json")
        defaults = RulePolicy().model_dump(mode="json")
        return {
            name: {"value": value, "default": defaults[name], "limit": LIMITS.get(name, "")}
            for name, value in values.items()
        }

    def past_limits(self) -> list[str]:
        """Return each number that is looser than its limit allows, one sentence each."""
        lines = []
        for name, limit in LIMITS.items():
            value = getattr(self, name)
            side, _, number = limit.partition(" ")
            value = len(value) if isinstance(value, tuple) else value
            if value > float(number) if side == "<=" else value < float(number):
                lines.append(f"[card.policy] {name} is {value}, allowed is {limit}.")
        return lines


LIMITS: Final = {
    "review_min_cases": "<= 1000",
    "review_min_median_seconds": ">= 5",
    "review_min_catch_rate": ">= 0.5",
    "review_test_days": "<= 730",
    "max_agreement": "<= 0.995",
    "tolerated_loss": ">= 0.001",
    "min_group": "<= 500",
    "max_fairness_tolerance": "<= 0.5",
    "max_association": "<= 0.5",
    "max_shift": "<= 0.5",
    "max_withdrawal_hours": "<= 168",
    "max_objection_hours": "<= 168",
    "evidence_valid_days": "<= 1825",
    "max_review_days": "<= 1825",
    "max_waiver_days": "<= 730",
    "max_retention_days": "<= 7300",
    "law_valid_days": "<= 400",
    "grace_days": "<= 90",
    "max_monitor_days": "<= 93",
    "answer_within_days": "<= 30",
    "max_data_age_days": "<= 365",
    "approval_roles": ">= 2",
    "metric_tolerance": "<= 0.05",
}
"""How loose a project may set a number (rule P02); of ``approval_roles``, how many there are at least."""
