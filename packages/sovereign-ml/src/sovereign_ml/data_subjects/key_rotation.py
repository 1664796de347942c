"""Rotation of the pseudonym key. No mapping between old and new pseudonyms is written."""

from __future__ import annotations

import json
import secrets
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, get_args

from sovereign_ml.config.connections import LogLocation, SuppressionFiles
from sovereign_ml.data_subjects import erasure
from sovereign_ml.data_subjects.project_stores import ProjectStores
from sovereign_ml.decision_log import DecisionLog, Draft, Entry
from sovereign_ml.decision_log.entries import Bar
from sovereign_ml.decision_log.reading import fields_of
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import corrections, suppression
from sovereign_ml.privacy import objections as operation
from sovereign_ml.privacy.tombstones import Tombstones, write_durably
from sovereign_ml.pseudonyms import names_of, pseudonyms, read_or_make_keys


class Carried(NamedTuple):
    """Number of people in the source, and of those carried over to their new pseudonym.

    ``objections`` counts withdrawals and restrictions too, each kind once for a person.
    """

    people: int
    tombstones: int
    objections: int
    corrections: int
    keys: Path
    in_use: bool


def rotate(
    stores: ProjectStores, key_file: Path, *, in_use: bool, file: Path | None = None
) -> Carried:
    """Carry tombstones, objections and corrections over to the key in ``file``, then use it.

    The file is made if it is not there. ``key_file`` is the project's own and is replaced if it is
    ``in_use``, which it is not where the environment sets the key. Every part can be done twice: a
    run that was killed is finished by the same command. Raises Misuse if the source, the only place
    that knows both names of a person, is not on this machine, or an erasure waits to be finished.
    """
    if (stores.root / erasure.JOURNAL).is_file():
        raise Misuse(
            "An erasure was interrupted: finish it with `churn data-subject erase` first, "
            "then change the key."
        )
    present = stores.suppression.keys()
    path = file or key_file.with_suffix(".new")
    try:
        new = read_or_make_keys(path)[0]
    except ValueError as error:
        raise Misuse(str(error)) from None
    # A repeated run meets the new key among those in use already.
    former = [key for key in present if key != new]
    # The mapping of former pseudonyms to new ones only lives in this process.
    ids = stores.source.files.customer_ids()
    renamed = dict(zip(ids, pseudonyms(ids, new), strict=True))
    names = {name: renamed[id_] for name, id_ in names_of(ids, former).items()}
    stones = _tombstones(stores.suppression, names, new, former)
    objections = _log(stores.log, names, stones)
    # From here on step 1 refuses the former key, until this is done.
    suppression.note_key(stores.suppression, new)
    # The raw data comes before the key file: a run killed in between can be repeated.
    corrected = corrections.rename(stores.artifacts.raw, names)
    target = key_file if in_use else path
    # The former keys stay, because old files and tombstones know people by them.
    write_durably(target, "".join(f"{key.hex()}\n" for key in (new, *former)), mode=0o600)
    if in_use and not file:
        path.unlink()
    stores.governance.publish()
    return Carried(len(set(names.values())), len(stones), objections, corrected, target, in_use)


def _tombstones(
    files: SuppressionFiles, names: Mapping[str, str], new: bytes, former: Sequence[bytes]
) -> list[str]:
    """Return the new pseudonyms of erased people whom the source still names."""
    stones = Tombstones(suppression.paths(files), new, former)
    erased = sorted({names[name] for name in stones.among(names)})
    if erased:
        stones.add(erased, day=f"{datetime.now(UTC):%Y-%m-%d}", receipt="key-rotation")
    return erased


def _log(location: LogLocation, names: Mapping[str, str], erased: Sequence[str]) -> int:
    """Carry bars and erasures in the log over to new pseudonyms.

    Returns for how many people, once for each kind of bar.
    """
    former: dict[str, list[str]] = {}
    for old, new in names.items():
        former.setdefault(new, []).append(old)
    with operation.decision_log(location) as log:
        if log is None:
            return 0
        carried = 0
        for bar in get_args(Bar):
            barred = log.barred_by(bar)
            people = sorted({names[name] for name in barred & names.keys()})
            # The service has no key. It can bar a customer only under the new pseudonym.
            drafts = [draft for new in people for draft in _renamed(log, bar, former[new], new)]
            # The log refuses a bar that stands under the new pseudonym already.
            written = [entry for entry in log.append(drafts) if isinstance(entry, Entry)]
            carried += len({entry.subject for entry in written})
        for name in erased:
            log.erase_subject(name)
        return carried


def _renamed(log: DecisionLog, bar: Bar, former: Sequence[str], new: str) -> list[Draft]:
    """Return what bars a person under the pseudonym ``new``, each restriction with its ground."""
    standing = operation.standing(log, [*former, new], bar)
    grounds = dict.fromkeys(fields_of(entry.body).get("ground") for entry in standing)
    bodies = [{"key": "key-rotation"} | ({"ground": g} if g else {}) for g in grounds]
    return [Draft(bar, f"{bar}-{secrets.token_hex(16)}", new, json.dumps(body)) for body in bodies]
