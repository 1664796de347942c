"""What a run without the repository, as on a cluster, has to know of it: through the bucket, not through the image.

Who was erased, what has expired, which key is in use and what was corrected stand in git. The image of a scheduled run
is older than that: without this a person erased yesterday would be scored tomorrow (GDPR Art. 17(1), 21(3)).
"""

from __future__ import annotations

from pathlib import Path

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects.stores import dvc_versions
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import suppression
from sovereign_ml.privacy.tombstones import HEADER, marks
from sovereign_ml.storage import s3

READERS = ("data", "card")
"""The steps that need it."""
TOMBSTONES, OTHERS = (
    "tombstones.txt",
    ("expired.txt", "key.txt", "retention.json", "approvals.json", "imported.json"),
)


def publish(settings: Settings, *, pushed: bool = False) -> None:
    """Put it into the bucket of a profile that has one. Tombstones are only ever added, even from an old clone.

    ``data/source.json`` goes along once the data that it names is ``pushed`` too.
    """
    if settings.profile.dvc_remote != dvc_versions.BUCKET:
        return
    there = s3.maybe(settings.storage, _key(settings, TOMBSTONES)) or b""
    here = (
        path.read_text(encoding="utf-8")
        for path in suppression.paths(settings.suppression)
        if path.is_file()
    )
    known = dict.fromkeys(line for text in (there.decode(), *here) for line in marks(text))
    s3.write(
        settings.storage,
        _key(settings, TOMBSTONES),
        (HEADER + "".join(f"{line}\n" for line in known)).encode(),
    )
    others = [_folder(settings) / name for name in OTHERS]
    for path in (*others, settings.path("source")) if pushed else others:
        if path.is_file():
            s3.write(settings.storage, _key(settings, path.name), path.read_bytes())


def take(settings: Settings) -> None:
    """Fetch it where there is no repository. Raises Misuse if nobody has put it there: nobody erased may come back."""
    if not dvc_versions.from_image(settings):
        return
    for path in (
        *(_folder(settings) / name for name in (TOMBSTONES, *OTHERS)),
        settings.path("source"),
    ):
        found = s3.maybe(settings.storage, _key(settings, path.name))
        if found is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(found)
        elif path.name == TOMBSTONES:
            raise Misuse(
                f"The bucket has no {_key(settings, TOMBSTONES)}: who was erased is not known here. "
                f"Call `churn push --profile {settings.profile_name}` in the repository first."
            )


def _folder(settings: Settings) -> Path:
    return settings.root / suppression.FOLDER


def _key(settings: Settings, name: str) -> str:
    return f"{suppression.FOLDER}/{settings.project.name}/{name}"
