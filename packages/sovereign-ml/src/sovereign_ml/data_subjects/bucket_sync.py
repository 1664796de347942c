"""The copy of ``governance/`` in the bucket, for runs without the repository, as on a cluster.

Git records erasures, expiry, the key in use and corrections. The image of a scheduled run is older
than that: without the copy a person erased yesterday would be scored tomorrow (GDPR Art. 17(1),
21(3)).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from sovereign_ml.config.connections import DataVersions, SuppressionFiles
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import suppression
from sovereign_ml.privacy.suppression import EXPIRY, KEY_FILE
from sovereign_ml.privacy.tombstones import HEADER, marks
from sovereign_ml.storage import s3

READERS = ("data", "card")
"""The steps that need it."""
TOMBSTONES = "tombstones.txt"
OTHERS = (EXPIRY, KEY_FILE, "retention.json", "approvals.json", "imported.json")


@dataclass(frozen=True)
class GovernanceCopy:
    """The files of ``governance/`` and the pinned ``source``, in the bucket of ``project``."""

    project: str
    versions: DataVersions
    suppression: SuppressionFiles
    source: Path

    def publish(self, *, pushed: bool = False) -> None:
        """Write the files into the bucket of a profile that has one.

        Tombstones are only ever added, and the cut-off of purchases only moves on, even from an old
        clone. ``data/source.json`` goes along once the data that it names is ``pushed`` too.
        """
        if not self.versions.in_bucket:
            return
        storage = self.versions.storage
        remote = s3.maybe(storage, self._key(TOMBSTONES)) or b""
        local = (
            path.read_text(encoding="utf-8")
            for path in suppression.paths(self.suppression)
            if path.is_file()
        )
        lines = dict.fromkeys(line for text in (remote.decode(), *local) for line in marks(text))
        content = HEADER + "".join(f"{line}\n" for line in lines)
        s3.write(storage, self._key(TOMBSTONES), content.encode())
        others = [self.suppression.folder / name for name in OTHERS]
        for path in (*others, self.source) if pushed else others:
            if path.is_file() and not (path.name == EXPIRY and self._has_later_cut_off(path)):
                s3.write(storage, self._key(path.name), path.read_bytes())

    def fetch(self) -> None:
        """Read the files from the bucket where there is no repository.

        Raises Misuse if they are missing there, because no erased person may come back.
        """
        if not self.versions.from_image:
            return
        names = (TOMBSTONES, *OTHERS)
        for path in (*(self.suppression.folder / name for name in names), self.source):
            content = s3.maybe(self.versions.storage, self._key(path.name))
            if content is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            elif path.name == TOMBSTONES:
                raise Misuse(
                    f"The bucket has no {self._key(TOMBSTONES)}, so erased people are unknown here. "
                    f"Call `churn push --profile {self.versions.profile}` in the repository first."
                )

    def _has_later_cut_off(self, path: Path) -> bool:
        """Return whether purchases up to a later day than that in ``path`` are deleted there."""
        remote = s3.maybe(self.versions.storage, self._key(EXPIRY))
        here = suppression.cut_off(path.read_text(encoding="utf-8"))
        return remote is not None and suppression.cut_off(remote.decode()) > here

    def _key(self, name: str) -> str:
        return f"{suppression.FOLDER}/{self.project}/{name}"
