"""For notebooks: the artifacts of the flow as tables and words, and nothing that names a person."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sovereign_ml.config.settings import ENVIRONMENT, Settings, load
from sovereign_ml.egress import allow_list
from sovereign_ml.egress.telemetry import silence
from sovereign_ml.model import scorecard
from sovereign_ml.model.explain import describe_model
from sovereign_ml.project import load_project
from sovereign_ml.registry import bundle_files
from sovereign_ml.storage.artifacts import need

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["model_in_words", "open_project", "training_set"]


def open_project() -> Settings:
    """Settings of the project in the working directory; from here on this kernel reaches only allowed hosts."""
    silence(ENVIRONMENT)
    allow_list.install(ENVIRONMENT)
    return load()


def training_set(settings: Settings) -> pd.DataFrame:
    """Features and label of every labelled cut-off, without the customers' pseudonyms."""
    import pandas as pd

    folder = need(settings.path("features"), "features")
    return pd.read_parquet(folder / "training.parquet").drop(columns="customer_id")


def model_in_words(settings: Settings) -> list[str]:
    """Return one sentence for each feature of the trained model, strongest first."""
    project = load_project(settings.root)
    card = scorecard.read(need(settings.path("model"), "train") / "model.json")
    policy = bundle_files.draft_policy(settings.score, project.target)
    words = describe_model(card, project.feature_contract(), policy)
    return [f"{part.label}: {part.text}" for part in words.features]
