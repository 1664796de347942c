"""What goes stale in a project over the years: locks, library, gates, review dates, signers, retention."""

from sovereign_ml.upkeep.checks import UpkeepFinding, examine
from sovereign_ml.upkeep.overview import ProjectRow, listed, overview

__all__ = ["ProjectRow", "UpkeepFinding", "examine", "listed", "overview"]
