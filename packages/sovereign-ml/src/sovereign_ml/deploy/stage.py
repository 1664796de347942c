"""Build the folder that is sent: Dockerfile, lock, service code, the sovereign parts it imports, bundle, SBOM, card."""

from __future__ import annotations

import ast
import json
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sovereign_ml.config.deploy import DIGEST
from sovereign_ml.deploy import DeployError
from sovereign_ml.deploy.packing import LIMIT_BYTES, pack
from sovereign_ml.supply_chain.sbom import parse_lock, sbom

if TYPE_CHECKING:
    from sovereign_ml.bundle.sealed import Manifest

SUFFIXES = {".py", ".html", ".css", ".js", ".svg", ".json", ".sql", ".j2", ".typed"}


class Staged(NamedTuple):
    """A staged folder: its files (relative, sorted) with sizes in bytes, the size packed, and the bundle in it."""

    folder: Path
    files: tuple[tuple[str, int], ...]
    packed_bytes: int
    bundle: str

    def listing(self) -> list[str]:
        """One line a file with its size, then the size packed and the limit; all in bytes."""
        lines = [f"{size:>10,}  {name}" for name, size in self.files]
        return [*lines, f"{self.packed_bytes:>10,}  packed, of {LIMIT_BYTES:,} allowed"]


def stage(
    *,
    bundle: Path,
    serve_dir: Path,
    sovereign_dir: Path,
    serve_lock: Path,
    templates: Path,
    base_image: str,
    out: Path,
) -> Staged:
    """Write the folder ``out`` anew and return what is in it; the same inputs give the same files.

    ``templates`` holds ``Dockerfile`` and ``sotaignore``. Raises ValueError in one line when the base image has no
    digest or the lock has an entry without a hash, DeployError when the bundle was changed after it was sealed.
    """
    if not DIGEST.fullmatch(base_image):
        raise ValueError(
            f"base_image is {base_image!r}: an image with a digest is needed, such as "
            "registry.example.eu/python:3.12-slim@sha256:<64 hex digits>; set [deploy] base_image in config.toml"
        )
    manifest = _whole(bundle)
    if out.exists():
        shutil.rmtree(out)
    app = out / "app"
    copy_code(serve_dir, sovereign_dir, app)
    _copy_tree(bundle, app / "bundle", [bundle / name for name in (*manifest.files, "bundle.json")])
    _write_top(out, templates, base_image, serve_lock, manifest)
    return _describe(out, f"{manifest.name} {manifest.version}")


def _whole(bundle: Path) -> Manifest:
    from sovereign_ml.bundle.sealed import read_bundle

    try:
        return read_bundle(bundle).manifest
    except ValueError as error:
        raise DeployError(str(error)) from None


def copy_code(serve_dir: Path, sovereign_dir: Path, out: Path) -> None:
    """Copy the service into ``out/serve``, and the parts of ``sovereign`` that it needs into ``out/lib``."""
    _copy_tree(serve_dir, out / "serve", _code_files(serve_dir))
    _copy_tree(sovereign_dir.parent, out / "lib", sovereign_closure(serve_dir, sovereign_dir))


def sovereign_closure(serve_dir: Path, sovereign_dir: Path) -> list[Path]:
    """Files of the ``sovereign`` package that the service needs: what it imports, and what that imports."""
    found: set[Path] = set()
    waiting = list(_code_files(serve_dir))
    while waiting:
        path = waiting.pop()
        if path.suffix != ".py":
            continue
        new = {
            file
            for name in _imports(path, sovereign_dir)
            for file in _module_files(name, sovereign_dir)
        } - found
        found |= new
        waiting.extend(new)
    return sorted(found)


def _code_files(folder: Path) -> Iterator[Path]:
    for path in sorted(folder.rglob("*")):
        hidden = any(
            part.startswith((".", "__pycache__")) for part in path.relative_to(folder).parts
        )
        if path.is_file() and not hidden and path.suffix in SUFFIXES:
            yield path


def _imports(path: Path, sovereign_dir: Path) -> Iterator[str]:
    """Dotted names that ``path`` may import, at any depth of its code; relative imports are made absolute."""
    inside = path.is_relative_to(sovereign_dir)
    package = (sovereign_dir.name, *path.parent.relative_to(sovereign_dir).parts) if inside else ()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), filename=str(path))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            base = ".".join((*parents, node.module) if node.module else parents)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names)


def _module_files(name: str, sovereign_dir: Path) -> Iterator[Path]:
    """Files of a dotted module below ``sovereign``: itself, the packages above it, and a package's data files."""
    top, *rest = name.split(".")
    if top != sovereign_dir.name:
        return
    folders = [sovereign_dir.joinpath(*rest[:depth]) for depth in range(len(rest) + 1)]
    for folder in folders:
        if (folder / "__init__.py").is_file():
            yield from (path for path in _code_files(folder) if _belongs(path, folder))
    module = folders[-1].with_suffix(".py")
    if rest and module.is_file():
        yield module


def _belongs(path: Path, package: Path) -> bool:
    """Whether ``path`` comes along whenever ``package`` is imported: its ``__init__`` and its data files."""
    nearest = next(
        parent for parent in path.parents if parent == package or (parent / "__init__.py").is_file()
    )
    return nearest == package and (path.name == "__init__.py" or path.suffix != ".py")


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
