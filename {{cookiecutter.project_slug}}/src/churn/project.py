"""The project as the library sees it: named in pyproject.toml, ``[tool.sovereign-ml] project``."""

from __future__ import annotations

from churn import contract
from sovereign_ml.project import STANDARD_STEPS, Project

PROJECT = Project(
    package="churn",
    tables=contract.TABLES,
    features=contract.FEATURES,
    target=contract.TARGET,
    links=contract.links,
    # An own step is one more row here, and the file steps/_9_<verb>.py.
    steps=STANDARD_STEPS,
    # Country says nothing about origin by itself. An input that follows it closely is a question to a person
    # (C-184/20: what can be inferred counts).
    group_origins={"country": "ethnic origin"},
)
