"""Helpers for notebooks: artifacts of the flow as tables and words, without pseudonyms."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sovereign_ml.config.settings import ENVIRONMENT, load
from sovereign_ml.config.tables import ScoreSettings
from sovereign_ml.egress import allow_list
from sovereign_ml.egress.telemetry import silence
from sovereign_ml.model import served
from sovereign_ml.model.explain import describe_model
from sovereign_ml.project import load_project
from sovereign_ml.registry import bundle_files
from sovereign_ml.storage.artifacts import need

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["OpenProject", "open_project"]


@dataclass(frozen=True)
class OpenProject:
    """A project whose artifacts a notebook shows."""

    root: Path
    features: Path
    model: Path
    score: ScoreSettings
    inputs: tuple[str, ...] = ()

    def training_set(self) -> pd.DataFrame:
        """Return features and label of every labelled cut-off, without customers' pseudonyms."""
        import pandas as pd

        folder = need(self.features, "features")
        # The outputs are saved with the notebook, so no pseudonym may get into them.
        return pd.read_parquet(folder / "training.parquet").drop(columns="customer_id")

    def model_in_words(self) -> list[str]:
        """Return one sentence for each feature of the trained model, strongest first."""
        project = load_project(self.root).with_inputs(self.inputs)
        card = served.read(need(self.model, "train") / "model.json")
        policy = bundle_files.draft_policy(self.score, project.target)
        words = describe_model(card, project.feature_contract(), policy)
        return [f"{part.label}: {part.text}" for part in words.features]


def open_project() -> OpenProject:
    """Return the project here. From now on this kernel reaches only allowed hosts."""
    # This comes first: tools read these variables when they are loaded or begin to work.
    silence(ENVIRONMENT)
    allow_list.install(ENVIRONMENT)
    settings = load()
    return OpenProject(
        root=settings.root,
        features=settings.path("features"),
        model=settings.path("model"),
        score=settings.score,
        inputs=settings.features.inputs,
    )
