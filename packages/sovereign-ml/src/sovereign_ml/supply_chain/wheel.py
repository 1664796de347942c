"""Reader of a wheel, its check against its own RECORD, and the difference of two wheels.

The format is PEP 427 (wheel) with the RECORD of PEP 376: one line per file with its SHA-256.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from email.parser import HeaderParser
from pathlib import Path, PurePosixPath

from sovereign_ml.bundle.installed_files import read_record, sha256_of
from sovereign_ml.bundle.library_identity import DISTRIBUTION
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.supply_chain.lockfile import normalise

# Unpacked. It is a hundred times the size of the library, so a larger archive is an attack.
MAX_BYTES = 50_000_000
_FILE_NAME = re.compile(
    r"(?P<name>[^-/\\]+)-(?P<version>[^-/\\]+)(-\d[^-]*)?-[^-]+-[^-]+-[^-]+\.whl"
)
# RECORD cannot hold its own hash, and its signatures are made after it (PEP 427).
_UNRECORDED = ("RECORD", "RECORD.jws", "RECORD.p7s")


@dataclass(frozen=True)
class Wheel:
    """A wheel whose files agree with its RECORD."""

    path: Path
    name: str
    version: str
    sha256: str
    files: Mapping[str, str]  # name in the archive -> SHA-256 (hex); RECORD is left out
    requires: tuple[str, ...]  # the Requires-Dist lines


def read_wheel(path: Path, distribution: str = DISTRIBUTION) -> Wheel:
    """Return the checked wheel at ``path``.

    Raises Misuse where the file is no wheel of ``distribution``, Refused where it is damaged or
    its RECORD does not describe it.
    """
    if not path.is_file():
        raise Misuse(f"{path} is no file: name the wheel of {distribution}.")
    match = _FILE_NAME.fullmatch(path.name)
    if not match or normalise(match["name"]) != distribution:
        name = f"{distribution.replace('-', '_')}-<version>-py3-none-any.whl"
        raise Misuse(f"{path.name} is no wheel of {distribution}: its name should be {name}.")
    contents = unpack(path)
    info = _metadata_folder(path, contents)
    headers = HeaderParser().parsestr(contents[f"{info}/METADATA"].decode("utf-8", "replace"))
    name, version = normalise(headers.get("Name", "")), headers.get("Version", "")
    if (name, version) != (distribution, match["version"]):
        raise Refused(f"{path.name} calls itself {name} {version} inside: get it again.")
    files = _checked_record(path, contents, info)
    requires = tuple(headers.get_all("Requires-Dist") or ())
    return Wheel(path, name, version, sha256_of(path), files, requires)


def unpack(path: Path) -> dict[str, bytes]:
    """Return the files of an archive by name.

    Raises Refused where it is damaged, too large, or would write outside its folder.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_names(path, [entry.filename for entry in archive.infolist()])
            if sum(entry.file_size for entry in entries) > MAX_BYTES:
                raise Refused(f"{path.name} unpacks to more than {MAX_BYTES:,} bytes: refused.")
            return {entry.filename: archive.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, RuntimeError, ValueError) as error:
        raise Refused(f"{path.name} is damaged or no wheel ({error}): get it again.") from error


def _check_names(path: Path, names: list[str]) -> None:
    """Raise Refused for names outside the folder, and for two names that some systems merge."""
    folded: set[str] = set()
    for name in names:
        parts = PurePosixPath(name).parts
        if name.startswith("/") or ".." in parts or "\\" in name or ":" in name:
            raise Refused(f"{path.name} holds the path {name!r}, which leaves its folder.")
        if name.casefold() in folded:
            raise Refused(f"{path.name} holds {name!r} twice: one of the two is never checked.")
        folded.add(name.casefold())


def _metadata_folder(path: Path, contents: Mapping[str, bytes]) -> str:
    """Return the name of the one ``.dist-info`` folder, which must hold METADATA and RECORD."""
    folders = {name.split("/")[0] for name in contents if ".dist-info/" in name}
    complete = [f for f in folders if {f"{f}/METADATA", f"{f}/RECORD"} <= contents.keys()]
    if len(folders) != 1 or not complete:
        raise Refused(f"{path.name} has no complete .dist-info folder: it is no wheel.")
    return complete[0]


def _checked_record(path: Path, contents: Mapping[str, bytes], info: str) -> dict[str, str]:
    """Return the SHA-256 of every file. Raises Refused where RECORD disagrees."""
    try:
        record = read_record(contents[f"{info}/RECORD"].decode("utf-8"))
    except ValueError as error:
        raise Refused(f"{path.name}: {error}.") from error
    unrecorded = {f"{info}/{name}" for name in _UNRECORDED}
    actual = {
        name: hashlib.sha256(data).hexdigest()
        for name, data in contents.items()
        if name not in unrecorded
    }
    recorded = {name: digest for name, digest in record.items() if name not in unrecorded}
    # The symmetric difference also has files that only one of the two names.
    wrong = sorted(name for name, _ in actual.items() ^ recorded.items())
    if wrong:
        raise Refused(f"{path.name}: {wrong[0]} does not agree with RECORD: get the wheel again.")
    return actual


@dataclass(frozen=True)
class WheelDifference:
    """Files that only one of two wheels holds, and unified diffs of those that both hold."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    changed: Mapping[str, str]

    def text(self) -> str:
        """Return the difference for a terminal: the lists first, then the diffs."""
        lines = [f"added   {name}" for name in self.added]
        lines += [f"removed {name}" for name in self.removed]
        lines += [f"changed {name}" for name in self.changed]
        return "\n".join([*lines, *self.changed.values()]) if lines else "The files are the same."


def difference(old: Path, new: Path) -> WheelDifference:
    """Return how the files of two wheels of the library differ, RECORD left out."""
    before, after = _comparable(old), _comparable(new)
    common = sorted(before.keys() & after.keys())
    return WheelDifference(
        added=tuple(sorted(after.keys() - before.keys())),
        removed=tuple(sorted(before.keys() - after.keys())),
        changed={
            name: _diff(name, before[name], after[name])
            for name in common
            if before[name] != after[name]
        },
    )


def _comparable(path: Path) -> dict[str, bytes]:
    """Return a wheel's files with the version taken out of the name of the metadata folder."""
    # Only a wheel that agrees with its own RECORD is worth comparing.
    read_wheel(path)
    files = {re.sub(r"^[^/]+\.dist-info/", "dist-info/", k): v for k, v in unpack(path).items()}
    # It repeats the hash of every file, so it differs wherever one of them does.
    files.pop("dist-info/RECORD", None)
    return files


def _diff(name: str, before: bytes, after: bytes) -> str:
    """Return the unified diff of one file, or one line where it is not text."""
    try:
        old_lines, new_lines = (part.decode("utf-8").splitlines() for part in (before, after))
    except UnicodeDecodeError:
        return f"binary file {name}: {len(before)} -> {len(after)} bytes"
    diff = difflib.unified_diff(old_lines, new_lines, f"old/{name}", f"new/{name}", lineterm="")
    return "\n".join(diff)
