"""The origin of a model, as tags of its run: data version, git commit, lock file, library."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sovereign_ml.storage import dvc, lineage
from sovereign_ml.supply_chain.integrity import project_identity

__all__ = ["Lineage"]


@dataclass(frozen=True)
class Lineage:
    """Finds the origin of a model in the project's folder ``root``."""

    root: Path

    def tags(self, features: Path) -> dict[str, str]:
        """Return data version of ``features``, git commit, hash of the lock, versions and rule digest, by name."""
        return {
            "data_version": dvc.data_version(features),
            "git_commit": lineage.git_commit(self.root),
            "lock_sha256": lineage.lock_sha256(self.root),
            "scikit_learn": version("scikit-learn"),
            **project_identity(self.root).tags(),
        }
