"""Model cards of other systems, read as hints.

Their values are suggested, listed or compared, never believed.
"""

from sovereign_ml.card.importers.read import ImportedCard, import_card

__all__ = ["ImportedCard", "import_card"]
