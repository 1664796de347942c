"""DVC: record the present data as a new version, and find the objects that versions need."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml import git
from sovereign_ml.config.connections import BUCKET_REMOTE
from sovereign_ml.data_subjects.stores.files import digest_of, entries, held, is_whole
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.storage.dvc import _repo, _stop

OBJECT = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")


def clean_stages(root: Path) -> list[str]:
    """Return the stages whose inputs, code and outputs fit ``dvc.lock``, none without a lock."""
    if not (root / "dvc.lock").is_file():
        return []
    with _in(root) as repo:
        changed = {name.split(":")[-1] for name in repo.status()}
        return [
            stage.name for stage in repo.index.stages if stage.name and stage.name not in changed
        ]


def commit(root: Path, stages: Sequence[str]) -> None:
    """Make what is in ``data/`` the recorded version of ``stages``, without running them."""
    with _in(root) as repo:
        for stage in stages:
            # No relinking: DVC deletes a file before it links it, and a process killed then loses
            # it.
            repo.commit(stage, force=True, relink=False)


def run_only(root: Path, stages: Sequence[str]) -> None:
    """Run the changed ones among ``stages`` in this order. Raises SystemExit if one stops."""
    from dvc.exceptions import DvcException

    with _in(root) as repo:
        for stage in stages:
            try:
                # Without single_item DVC would also run the stages before this one.
                repo.reproduce(stage, single_item=True)
            except DvcException as error:
                _stop(error)


def places(root: Path, remote: str) -> dict[str, Path]:
    """Return the folders that hold objects: the cache, and each folder remote with a push.

    ``remote`` is that of the profile. Raises Misuse if a remote is neither a folder nor the bucket
    of ``[s3]``, because its old versions cannot be deleted, or if its folder seems not mounted.
    """
    from dvc.fs import get_fs_config

    with _in(root) as repo:
        # DVC 3 names files/md5 as its cache. Objects of DVC 2 lie above it.
        cache = {"cache": Path(repo.cache.local.path).parents[1]}
        # A remote may name a folder of another one: remote://nas/churn.
        urls = {
            name: str(get_fs_config(repo.config, name=name).get("url", ""))
            for name in repo.config["remote"]
        }
    for name, url in urls.items():
        if "://" in url and name != BUCKET_REMOTE:
            raise Misuse(_no_folder(name, url))
    folders = {name: Path(url).resolve() for name, url in urls.items() if url and "://" not in url}
    for name, folder in folders.items():
        if _is_away(folder):
            raise Misuse(
                f"The folder {folder} of the DVC remote '{name}' is missing or empty: mount it, "
                f"or call `churn push` if it is new, or `dvc remote remove {name}` if it is given "
                "up. Old versions of the data may be in it."
            )
    labels = {name: "remote" if name == remote else f"remote {name}" for name in folders}
    return cache | {labels[name]: folder for name, folder in folders.items() if folder.is_dir()}


def _no_folder(name: str, url: str) -> str:
    hint = "write its path without file://" if url.startswith("file:") else "use one of these"
    return (
        f"The DVC remote '{name}' is {url.partition(':')[0]}: old versions are removed from the "
        f"cache, folder remotes and the bucket of [s3] (remote '{BUCKET_REMOTE}'). For dvc_remote "
        f"{hint}. Of another remote delete the old versions yourself, then call "
        f"`dvc remote remove {name}`."
    )


def _is_away(folder: Path) -> bool:
    """Return whether a remote looks like a disk that is not mounted, and not like a new one.

    A new one beside the project's folder is not there yet. Without its disk, the folder on which
    it is mounted is empty, or is missing with the folder around it.
    """
    try:
        nearest = folder if folder.exists() else folder.parent
        return not any(nearest.iterdir())
    # A folder that nobody may read here is no empty one either.
    except OSError:
        return True


def drop(root: Path, remote: str, stages: Sequence[str]) -> set[str]:
    """Remove the outputs of ``stages`` from ``data/``, the cache and folder remotes.

    The stages are due to run again. Returns the hashes of the objects, for a remote that is no
    folder.
    """
    folders = places(root, remote)
    with _in(root) as repo:
        outs = [out for stage in repo.index.stages if stage.name in stages for out in stage.outs]
        named = {str(out.hash_info.value) for out in outs if out.hash_info}
        paths = [Path(out.fs_path) for out in outs]
    manifests = _manifests(folders, named)
    unwanted = named.union(*map(entries, manifests))
    for path in (path for folder in folders.values() for path in held(folder)):
        if digest_of(path) in unwanted:
            path.unlink()
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return unwanted


def unneeded(root: Path, folders: Mapping[str, Path], since: datetime) -> list[Path]:
    """Return objects older than ``since`` that no data version in force since then needs.

    In force are the lock now, each commit of it since ``since``, and the last one before.
    Raises Refused where the list of files of such a version is damaged in all ``folders``.
    """
    in_force = named(root, since)
    manifests = _manifests(folders, in_force)
    whole = {digest_of(path) for path in manifests if is_whole(path, digest_of(path))}
    if damaged := [path for path in manifests if digest_of(path) not in whole]:
        raise Refused(
            f"{damaged[0]} is damaged, so it is unknown which files that data version needs. "
            "No old version was deleted. Delete this file, then run `dvc fetch` or `dvc commit`."
        )
    needed = in_force.union(*map(entries, manifests))
    objects = [path for folder in folders.values() for path in held(folder)]
    old = [path for path in objects if path.stat().st_mtime < since.timestamp()]
    return [path for path in old if digest_of(path) not in needed]


def _manifests(folders: Mapping[str, Path], digests: set[str]) -> list[Path]:
    """Return the lists of files of the data versions ``digests``."""
    objects = (path for folder in folders.values() for path in held(folder))
    return [path for path in objects if path.suffix == ".dir" and digest_of(path) in digests]


@contextmanager
def _in(root: Path) -> Iterator[Any]:
    """Open the repository, with ``root`` as working directory."""
    # DVC resolves the paths of dvc.yaml from the working directory.
    with chdir(root), _repo(root) as repo:
        yield repo


def named(root: Path, since: datetime) -> set[str]:
    """Return the hashes in ``dvc.lock`` as it is now, and as it was in force since ``since``.

    Raises Refused where git fails: what no commit seems to need is deleted.
    """
    lock = root / "dvc.lock"
    try:
        texts = _committed_locks(root, since.timestamp())
    except GitError as error:
        raise Refused(
            f"Only git can tell which data versions are still needed, and it says: {error}. "
            "No version was deleted. Repair that, then run this again."
        ) from None
    texts += [lock.read_text(encoding="utf-8")] if lock.is_file() else []
    return {digest for text in texts for digest in OBJECT.findall(text)}


def _committed_locks(root: Path, moment: float) -> list[str]:
    """Return ``dvc.lock`` in each commit since ``moment`` (Unix time), and in the last before."""
    git.refuse_shallow(root)
    if not git.ask(root, "rev-list", "--all", "--max-count=1"):
        return []
    # Merges count too (-m). A commit that takes the file away has no text of it (diff-filter).
    log = ("log", "-m", "--diff-filter=AMT", "--format=%H")
    every = git.ask(root, *log, "--all", "--full-history", "--", "dvc.lock").split()
    present = git.ask(root, *log, "--", "dvc.lock").split() if every else []
    times = _times(root)
    later = [commit for commit in every if times[commit] >= moment]
    before = [commit for commit in present if times[commit] < moment][:1]
    commits = dict.fromkeys([*later, *before])
    return [git.ask(root, "show", f"{commit}:./dvc.lock") for commit in commits]


def _times(root: Path) -> dict[str, float]:
    """Return the Unix time of each commit, never earlier than that of a commit before it.

    A machine with a wrong clock may make a commit of 1970, at which `git log --since` stops.
    """
    times: dict[str, float] = {}
    form = ("log", "--all", "--reverse", "--topo-order", "--format=%H %ct %P")
    now = time.time()
    for line in git.ask(root, *form).splitlines():
        commit, own, *parents = line.split()
        # A commit of the future says nothing about those after it.
        earlier = (times[parent] for parent in parents if times[parent] <= now)
        times[commit] = max(float(own), *earlier, 0.0)
    return times
