"""Build the folder that is sent: Dockerfile, lock, library, service class, bundle, SBOM."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.bundle.library_identity import DISTRIBUTION
from sovereign_ml.config.deployment import DIGEST
from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.packing import LIMIT_BYTES, pack
from sovereign_ml.supply_chain.lockfile import library_pin, parse_lock
from sovereign_ml.supply_chain.sbom import sbom

if TYPE_CHECKING:
    from sovereign_ml.bundle.sealed import Manifest

# A list of what is sent, because a list of what is not would let a forgotten file leave.
SUFFIXES = {".py", ".html", ".css", ".js", ".svg", ".json", ".sql", ".j2", ".typed"}
WHEELS = "wheels"  # the sota client leaves out a folder named vendor


class Staged(NamedTuple):
    """A staged folder, and what is in it.

    ``files`` are relative names, sorted, with sizes in bytes. ``bundle`` is its name and version.
    """

    folder: Path
    files: tuple[tuple[str, int], ...]
    packed_bytes: int
    bundle: str

    def listing(self) -> list[str]:
        """Return one line a file with its size, then the size packed and the limit, in bytes."""
        lines = [f"{size:>10,}  {name}" for name, size in self.files]
        return [*lines, f"{self.packed_bytes:>10,}  packed, of {LIMIT_BYTES:,} allowed"]


def stage(
    *,
    bundle: Path,
    serve_dir: Path,
    vendor: Path,
    serve_lock: Path,
    templates: Path,
    base_image: str,
    out: Path,
) -> Staged:
    """Write the folder ``out`` anew and return its content. The same inputs give the same files.

    ``vendor`` holds the wheel that the lock names, ``templates`` holds ``Dockerfile`` and
    ``sotaignore``. Raises ValueError in one line when the base image has no digest, the lock has
    an entry without a hash or does not name the library, or the wheel is missing. Raises
    DeployError when the bundle was changed after it was sealed.
    """
    if not DIGEST.fullmatch(base_image):
        raise ValueError(
            f"base_image is {base_image!r}: an image with a digest is needed, such as "
            "registry.example.eu/python:3.12-slim@sha256:<64 hex digits>; "
            "set [deploy] base_image in config.toml"
        )
    manifest, wheel = _whole(bundle), locked_wheel(vendor, serve_lock)
    # What an earlier run left here would be sent too.
    if out.exists():
        shutil.rmtree(out)
    app = out / "app"
    _copy_tree(serve_dir, app / "serve", _code_files(serve_dir))
    _copy_tree(vendor, app / WHEELS, [wheel])
    # Files outside the seal would not pass the check.
    _copy_tree(bundle, app / "bundle", [bundle / name for name in (*manifest.files, "bundle.json")])
    _write_top(out, templates, base_image, serve_lock, manifest)
    # The image's user is another one, and COPY keeps the modes that this machine's umask gave.
    for path in (out, *out.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return _describe(out, f"{manifest.name} {manifest.version}")


def locked_wheel(vendor: Path, lock: Path) -> Path:
    """Return the wheel in ``vendor`` that ``lock`` names by hash, or raise ValueError."""
    pin = library_pin(lock.read_text(encoding="utf-8"))
    if pin is None:
        raise ValueError(f"{lock.name} does not name {DISTRIBUTION} once: run `make lock`")
    for path in sorted(vendor.glob("*.whl")):
        if sha256_of(path) in pin.hashes:
            return path
    raise ValueError(
        f"{vendor.name}/ holds no wheel of {DISTRIBUTION} {pin.version} with the hash in "
        f"{lock.name}: restore it from version control, or run `make upgrade`"
    )


def _whole(bundle: Path) -> Manifest:
    from sovereign_ml.bundle.sealed import read_bundle

    try:
        return read_bundle(bundle).manifest
    except ValueError as error:
        raise DeployError(str(error)) from None


def _code_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(
            part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts
        )
        if path.is_file() and not hidden and path.suffix in SUFFIXES:
            yield path


def _copy_tree(source: Path, target: Path, files: Iterable[Path]) -> None:
    for path in files:
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _write_top(
    out: Path, templates: Path, base_image: str, serve_lock: Path, manifest: Manifest
) -> None:
    lock = serve_lock.read_text(encoding="utf-8")
    named = {"name": manifest.name, "version": manifest.version, "created_at": manifest.created_at}
    bill = json.dumps(sbom(parse_lock(lock, serve_lock.name), **named), indent=2) + "\n"
    (out / "app" / "serve.lock").write_text(lock, encoding="utf-8")
    (out / "app" / "sbom.cdx.json").write_text(bill, encoding="utf-8")
    dockerfile = (templates / "Dockerfile").read_text(encoding="utf-8")
    (out / "Dockerfile").write_text(
        dockerfile.replace("@BASE_IMAGE@", base_image), encoding="utf-8"
    )
    shutil.copyfile(templates / "sotaignore", out / ".sotaignore")


def _describe(out: Path, bundle: str) -> Staged:
    files = [path for path in out.rglob("*") if path.is_file()]
    sizes = sorted((path.relative_to(out).as_posix(), path.stat().st_size) for path in files)
    return Staged(out, tuple(sizes), len(pack(out)), bundle)
