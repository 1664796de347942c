"""The project as the library sees it: named in pyproject.toml, ``[tool.sovereign-ml] project``."""

from __future__ import annotations

from sovereign_ml.project import STANDARD_STEPS, Project

from churn import contract

PROJECT = Project(
    package="churn",
    tables=contract.TABLES,
    features=contract.FEATURES,
    target=contract.TARGET,
    links=contract.links,
    # An own step is one more row here, and the file steps/_9_<verb>.py.
    steps=STANDARD_STEPS,
    # A country is no origin, but an input that follows it closely may stand for one. What can be
    # inferred counts (CJEU C-184/20), so the card then asks a person.
    group_origins={"country": "ethnic origin"},
)
