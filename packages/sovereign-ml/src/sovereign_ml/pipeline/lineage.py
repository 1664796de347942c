"""The origin of a model, as tags of its run: data version, git commit, lock file, library."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from sovereign_ml.storage import commit_lineage, dvc
from sovereign_ml.supply_chain.vendored_library import project_identity

__all__ = ["Lineage"]


@dataclass(frozen=True)
class Lineage:
    """Finder of a model's origin in the project's folder ``root``."""

    root: Path

    def tags(self, features: Path) -> dict[str, str]:
        """Return the origin of a model trained on ``features``, by name of the tag.

        It has data version, git commit, hash of the lock, versions and rule digest.
        """
        return {
            "data_version": dvc.data_version(features),
            "git_commit": commit_lineage.git_commit(self.root),
            "lock_sha256": commit_lineage.lock_sha256(self.root),
            "scikit_learn": version("scikit-learn"),
            **project_identity(self.root).tags(),
        }
