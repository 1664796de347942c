"""Find what is stale in a project: locks, library, gates, review dates, signers, retention."""

from sovereign_ml.upkeep.checks import UpkeepFinding, examine
from sovereign_ml.upkeep.overview import ProjectRow, listed, overview

__all__ = ["ProjectRow", "UpkeepFinding", "examine", "listed", "overview"]
