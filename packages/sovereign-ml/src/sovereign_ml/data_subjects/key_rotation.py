"""Another key for the pseudonyms: what must outlive the change is carried over; the mapping is never written down."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from sovereign_ml.config.settings import Settings
from sovereign_ml.data_subjects import bucket_sync, erasure
from sovereign_ml.decision_log import Draft
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline import source
from sovereign_ml.privacy import corrections, suppression
from sovereign_ml.privacy import objections as operation
from sovereign_ml.privacy.tombstones import Tombstones, write_durably
from sovereign_ml.pseudonyms import names_of, pseudonyms, read_or_make_keys


class Carried(NamedTuple):
    """How many people the source names, and of whom something was carried over to their new pseudonym."""

    people: int
    tombstones: int
    objections: int
    corrections: int
    keys: Path
    in_use: bool


def rotate(settings: Settings, file: Path | None = None) -> Carried:
    """Carry tombstones, objections and corrections over to the key in ``file`` (made if it is not there), then use it.

    Every part can be done twice: a run that was killed is finished by the same command. Raises Misuse if the source,
    the only place that knows both names of a person, is not on this machine, or an erasure waits to be finished.
    """
    if (settings.root / erasure.JOURNAL).is_file():
        raise Misuse(
            "An erasure was interrupted: finish it with `churn erase` first, then change the key."
        )
    present = settings.pseudonym_keys()
    path = file or settings.secrets.key_file.with_suffix(".new")
    try:
        new = read_or_make_keys(path)[0]
    except ValueError as error:
        raise Misuse(str(error)) from None
    former = [key for key in present if key != new]
    names = _mapping(source.customer_ids(settings), new, former)
    stones = _tombstones(settings, names, new, former)
    objections = _log(settings, names, stones)
    suppression.note_key(
        settings.suppression, new
    )  # from here on step 1 refuses the former key, until this is done
    corrected = corrections.rename(settings.path("raw"), names)
    in_use = settings.secrets.pseudonym_key is None
    target = settings.secrets.key_file if in_use else path
    write_durably(target, "".join(f"{key.hex()}\n" for key in (new, *former)), mode=0o600)
    if in_use and not file:
        path.unlink()
    bucket_sync.publish(settings)
    return Carried(len(set(names.values())), len(stones), objections, corrected, target, in_use)


def _mapping(ids: Sequence[str], new: bytes, former: Sequence[bytes]) -> dict[str, str]:
    """Former pseudonym to new one; it lives as long as this process and in no file."""
    now = dict(zip(ids, pseudonyms(ids, new), strict=True))
    return {name: now[one] for name, one in names_of(ids, former).items()}


def _tombstones(
    settings: Settings, names: Mapping[str, str], new: bytes, former: Sequence[bytes]
) -> list[str]:
    """The new pseudonyms of the erased whom the source still names; the others are known by their former key."""
    stones = Tombstones(suppression.paths(settings.suppression), new, former)
    erased = sorted({names[one] for one in stones.among(names)})
    if erased:
        stones.add(erased, day=f"{datetime.now(UTC):%Y-%m-%d}", receipt="key-rotation")
    return erased


def _log(settings: Settings, names: Mapping[str, str], erased: Sequence[str]) -> int:
    """The service knows no key: who objected or was erased is barred under the new pseudonym too."""
    with operation.decision_log(settings.log_location) as log:
        if log is None:
            return 0
        there = log.objectors()
        due = sorted({names[one] for one in there & names.keys()} - there)
        body = json.dumps({"key": "key-rotation"})
        log.append(
            [Draft("objection", f"objection-{secrets.token_hex(16)}", one, body) for one in due]
        )
        for one in erased:
            log.erase_subject(one)
        return len(due)
