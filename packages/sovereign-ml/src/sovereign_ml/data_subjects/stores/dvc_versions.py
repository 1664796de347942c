"""DVC: keep the present data as a new version, and tell which stored objects a version still needs."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import chdir, contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from sovereign_ml import git
from sovereign_ml.config.connections import BUCKET_REMOTE
from sovereign_ml.data_subjects.stores.files import digest_of, entries, is_whole
from sovereign_ml.errors import Misuse, Refused
from sovereign_ml.git import GitError
from sovereign_ml.storage.dvc import _repo, _stop

OBJECT = re.compile(r"\b[0-9a-f]{32}(?:\.dir)?\b")


def clean_stages(root: Path) -> list[str]:
    """Stages of ``dvc.lock`` whose inputs, code and outputs are what the lock says; none before the first run."""
    if not (root / "dvc.lock").is_file():
        return []
    with _in(root) as repo:
        changed = {name.split(":")[-1] for name in repo.status()}
        return [
            stage.name for stage in repo.index.stages if stage.name and stage.name not in changed
        ]


def commit(root: Path, stages: Sequence[str]) -> None:
    """Make what lies in ``data/`` the recorded version of ``stages``, without running them.

    The files stay where they are: to link one anew DVC takes it away first, and a process killed then loses it.
    """
    with _in(root) as repo:
        for stage in stages:
            repo.commit(stage, force=True, relink=False)


def run_only(root: Path, stages: Sequence[str]) -> None:
    """Run those of ``stages`` whose inputs have changed, in this order, and no other; SystemExit if one stops."""
    from dvc.exceptions import DvcException

    with _in(root) as repo:
        for stage in stages:
            try:
                repo.reproduce(stage, single_item=True)
            except DvcException as error:
                _stop(error)


def places(root: Path, remote: str) -> dict[str, Path]:
    """The folders that hold objects: the cache, and every folder remote to which something has been pushed.

    Raises Misuse if ``remote`` is no folder and not the bucket of ``[s3]``: its old versions cannot be reached.
    """
    with _in(root) as repo:
        found = {"cache": Path(repo.cache.local.path).parents[1]}
        remotes: dict[str, Any] = dict(repo.config["remote"])
    urls = {name: str(config.get("url", "")) for name, config in remotes.items()}
    if "://" in (url := urls.get(remote, "")) and remote != BUCKET_REMOTE:
        raise Misuse(
            f"The DVC remote '{remote}' is {url.partition(':')[0]}: old versions are removed from "
            f"the cache, folder remotes and the bucket of [s3] (remote '{BUCKET_REMOTE}'). "
            "Use one of these as dvc_remote."
        )
    folders = {
        name: (root / ".dvc" / url).resolve()
        for name, url in urls.items()
        if url and "://" not in url
    }
    labels = {name: "remote" if name == remote else f"remote {name}" for name in folders}
    return found | {labels[name]: folder for name, folder in folders.items() if folder.is_dir()}


def drop(root: Path, remote: str, stages: Sequence[str]) -> set[str]:
    """Remove the outputs of ``stages`` from ``data/``, the cache and folder remotes; the stages are due to run again.

    Returns the hashes of the objects, for a remote that is no folder.
    """
    folders = places(root, remote)
    with _in(root) as repo:
        outs = [out for stage in repo.index.stages if stage.name in stages for out in stage.outs]
        named = {str(out.hash_info.value) for out in outs if out.hash_info}
        paths = [Path(out.fs_path) for out in outs]
    manifests = [
        path
        for folder in folders.values()
        for path in folder.rglob("*.dir")
        if digest_of(path) in named
    ]
    gone = named.union(*map(entries, manifests))
    for path in (
        path for folder in folders.values() for path in folder.rglob("*") if path.is_file()
    ):
        if digest_of(path) in gone:
            path.unlink()
    for path in paths:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    return gone


def unneeded(root: Path, folders: Mapping[str, Path], since: datetime) -> list[Path]:
    """Objects older than ``since`` of versions that a newer one had replaced by then, or that nobody ever committed.

    The version in force at ``since`` and all later ones are needed: the lock now, each commit of it since, and the
    last one before. Raises Refused where the list of files of such a version is damaged in all ``folders``.
    """
    known = named(root, since)
    manifests = [
        path
        for folder in folders.values()
        for path in folder.rglob("*.dir")
        if digest_of(path) in known
    ]
    whole = {digest_of(path) for path in manifests if is_whole(path, digest_of(path))}
    if damaged := [path for path in manifests if digest_of(path) not in whole]:
        raise Refused(
            f"{damaged[0]} is damaged, so nobody knows which files that data version needs. Nothing "
            "of old versions is deleted: delete this one file, then `dvc fetch`, or `dvc commit`."
        )
    needed = known.union(*map(entries, manifests))
    objects = [
        path for folder in folders.values() for path in sorted(folder.rglob("*")) if path.is_file()
    ]
    old = [
        path
        for path in objects
        if path.stat().st_mtime < since.timestamp() and "runs" not in path.parts
    ]
    return [path for path in old if digest_of(path) not in needed]


@contextmanager
def _in(root: Path) -> Iterator[Any]:
    """The repository, with ``root`` as working directory: DVC takes the paths of dvc.yaml from there."""
    with chdir(root), _repo(root) as repo:
        yield repo


def named(root: Path, since: datetime) -> set[str]:
    """Hashes in ``dvc.lock`` as it is now, as any commit since ``since`` has it, and as the last one before had it.

    Raises Refused where git does not tell: what no commit seems to need is deleted.
    """
    lock = root / "dvc.lock"
    try:
        texts = _committed_locks(root, since.isoformat())
    except GitError as error:
        raise Refused(
            f"Which data versions are still needed only git can tell, and it says: {error}. No "
            "version is deleted: let git answer, then run this again."
        ) from None
    texts += [lock.read_text(encoding="utf-8")] if lock.is_file() else []
    return {found for text in texts for found in OBJECT.findall(text)}


def _committed_locks(root: Path, moment: str) -> list[str]:
    """Return the text of ``dvc.lock`` in each commit since ``moment`` and in the last one before."""
    git.refuse_shallow(root)
    if not git.ask(root, "rev-list", "--all", "--max-count=1"):
        return []
    # Merges count too (-m). A commit that takes the file away has no text of it (diff-filter).
    log = ("log", "-m", "--diff-filter=AMT", "--format=%H")
    later = git.ask(root, *log, "--all", "--full-history", f"--since={moment}", "--", "dvc.lock")
    before = git.ask(root, *log, f"--until={moment}", "--max-count=1", "--", "dvc.lock")
    commits = dict.fromkeys([*later.split(), *before.split()])
    return [git.ask(root, "show", f"{commit}:./dvc.lock") for commit in commits]
