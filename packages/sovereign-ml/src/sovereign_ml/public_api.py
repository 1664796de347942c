"""The names that a project may import: ``python -m sovereign_ml.public_api`` prints them.

Everything else in the library may change in any release. A project writes own steps, features,
rules and estimators with these names alone.
"""

from __future__ import annotations

import ast
import inspect
import sys
from collections.abc import Mapping
from importlib import import_module
from itertools import pairwise
from types import MappingProxyType
from typing import Final

__all__ = ["PUBLIC", "meaning", "table"]

PUBLIC: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "sovereign_ml.card.rules": ("Case", "Hits", "RuleHit", "rule"),
        "sovereign_ml.config.connections": ("FeatureStores", "SparkCluster", "Tracking"),
        "sovereign_ml.config.settings": ("Settings", "load"),
        "sovereign_ml.config.tables": (
            "EvaluateSettings",
            "FeatureEngine",
            "FeatureSettings",
            "LabelKind",
            "LabelSettings",
            "ProjectSettings",
            "ScoreSettings",
            "TeamSettings",
            "TrainSettings",
            "ValidateSettings",
        ),
        "sovereign_ml.decisions.feature_contract": (
            "Direction",
            "Link",
            "Nested",
            "Ratio",
            "Since",
            "Window",
        ),
        "sovereign_ml.errors": ("Misuse", "Refused"),
        "sovereign_ml.estimators.additive": (
            "TRUSTED_TYPES",
            "blocks",
            "quantiles",
            "shared_design",
            "to_scorecard",
        ),
        "sovereign_ml.estimators.boosting": ("to_forest",),
        "sovereign_ml.estimators.interface": ("FittedModel", "Model", "model_kind"),
        "sovereign_ml.estimators.monotone": ("MonotoneLogistic", "monotone_curves"),
        "sovereign_ml.evaluation.drift": ("compare",),
        "sovereign_ml.evaluation.plots": ("draw",),
        "sovereign_ml.evaluation.report": (
            "Procedure",
            "LeaveOut",
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
        ),
        "sovereign_ml.features.event_tables": (
            "check_history",
            "columns",
            "past",
            "past_selects",
            "selects",
        ),
        "sovereign_ml.features.feast": (
            "SERVICE",
            "SNAPSHOTS",
            "VIEW",
            "apply",
            "materialise",
            "write_history",
        ),
        "sovereign_ml.features.feast_stores": ("alone",),
        "sovereign_ml.features.history": (
            "check_populations",
            "current_rows",
            "populations_of",
            "with_all_features",
        ),
        "sovereign_ml.features.queries": ("FeatureQueries", "fill", "open_tables"),
        "sovereign_ml.features.spark": ("compute",),
        "sovereign_ml.kubeflow.tasks": ("Tasks",),
        "sovereign_ml.model.scorecard": ("Curve", "Floats", "Levels", "Scorecard"),
        "sovereign_ml.model.trees": ("Codes", "Forest", "Tree"),
        "sovereign_ml.notebook": ("OpenProject", "open_project"),
        "sovereign_ml.pipeline.batch_scoring": (
            "ScoringGate",
            "current_customers",
            "read_whole",
            "write_scores",
        ),
        "sovereign_ml.pipeline.card_builder": ("CardBuilder",),
        "sovereign_ml.pipeline.file_validation": ("JudgedFile", "judging"),
        "sovereign_ml.pipeline.intake": ("Intake",),
        "sovereign_ml.pipeline.lineage": ("Lineage",),
        "sovereign_ml.pipeline.registration": ("Registration",),
        "sovereign_ml.pipeline.validation_report": ("forget_refusal", "refused_folder", "report"),
        "sovereign_ml.project": (
            "STANDARD_STEPS",
            "Column",
            "Feature",
            "Project",
            "Step",
            "chosen_features",
        ),
        "sovereign_ml.registry.bundle_files": ("draft_policy",),
        "sovereign_ml.registry.mlflow": ("log_pipeline", "training_run"),
        "sovereign_ml.registry.skops": ("read", "write"),
        "sovereign_ml.service.app": ("Application",),
        "sovereign_ml.service.lifecycle": (
            "PRIVATE",
            "OwnRoutesOnly",
            "close_application",
            "open_application",
        ),
        "sovereign_ml.service.settings": ("quiet",),
        "sovereign_ml.storage.artifacts": ("read_json", "summarise", "write_json", "writing"),
        "sovereign_ml.storage.duckdb": ("count", "write_parquet"),
    }
)
"""Names by module. Each is in the ``__all__`` of its module."""

INTRODUCTION: Final = """# The public API of sovereign-ml

What a project may import. Everything else may change in any release. This table is written by
`python -m sovereign_ml.public_api` from the docstrings.

| module | name | meaning |
|---|---|---|
"""


def table() -> str:
    """Return the content of ``API.md``: one line for each module and name."""
    rows = [
        f"| `{module}` | `{name}` | {meaning(module, name)} |\n"
        for module, names in PUBLIC.items()
        for name in names
    ]
    return INTRODUCTION + "".join(rows)


def meaning(module: str, name: str) -> str:
    """Return the first paragraph of the documentation of ``name``, empty without any.

    A constant or type alias is documented by the string below its assignment.
    """
    value = getattr(import_module(module), name)
    # For a constant, `inspect.getdoc` returns the docstring of its type.
    documented = inspect.isclass(value) or inspect.isfunction(value)
    text = inspect.getdoc(value) or "" if documented else _below_assignment(module, name)
    first = " ".join(text.partition("\n\n")[0].split())
    # Docstrings are reStructuredText, and a bar would end the cell of the table.
    return first.replace("``", "`").replace("|", "\\|")


def _below_assignment(module: str, name: str) -> str:
    """Return the string below the assignment of ``name``, in ``module`` or where it comes from."""
    # Python drops the string below an assignment, so it is read from the source.
    body = ast.parse(inspect.getsource(import_module(module))).body
    for statement in body:
        if isinstance(statement, ast.ImportFrom) and name in {a.name for a in statement.names}:
            # A name that is only imported there is documented where it is assigned.
            return _below_assignment(str(statement.module), name)
    for statement, following in pairwise(body):
        if name not in _assigned(statement) or not isinstance(following, ast.Expr):
            continue
        if isinstance(following.value, ast.Constant) and isinstance(following.value.value, str):
            return inspect.cleandoc(following.value.value)
    return ""


def _assigned(statement: ast.stmt) -> set[str]:
    """Return the names that a statement assigns."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, ast.AnnAssign):
        targets = [statement.target]
    nodes = [node for target in targets for node in ast.walk(target)]
    return {node.id for node in nodes if isinstance(node, ast.Name)}


if __name__ == "__main__":
    # `print` would add an empty line to the file.
    sys.stdout.write(table())
