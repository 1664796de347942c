"""data/source.json: which input the flow runs on, by content hash; DVC watches this small file."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sovereign_ml import __version__
from sovereign_ml.config.profiles import SCHEME
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.privacy import corrections, objections, suppression
from sovereign_ml.storage import s3
from sovereign_ml.storage.artifacts import read_json, write_json
from sovereign_ml.supply_chain.content import content_digest

SYNTHETIC = "synthetic"


def refresh(settings: Settings) -> Path:
    """Write ``data/source.json`` if the input named by the settings has changed; return its path.

    A clone that has the versioned data but not the raw file keeps the pinned input, so nothing runs again.
    """
    note_library(settings.root)
    path = settings.path("source")
    pinned = read_json(path) if path.is_file() else None
    known = pinned or {}
    now = (
        _describe(settings, pinned)
        | suppression.fingerprint(settings.suppression)
        | objections.fingerprint(settings.log_location, known)
    )
    now |= corrections.fingerprint(settings.path("raw"), known)
    if now != pinned:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, now)
    return path


def note_library(root: Path) -> None:
    """Write ``data/library.json``, which every DVC stage depends on: version and content of the installed library."""
    path = root / "data" / "library.json"
    state = {"version": __version__, "content_sha256": content_digest()}
    if not path.is_file() or read_json(path) != state:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, state)


def note_what_is_gone(settings: Settings) -> None:
    """Take up in ``data/source.json`` what the rows there already follow: erasures, expiry, corrections.

    Step 1 then need not run again for them. Nothing is written before the first run.
    """
    path = settings.path("source")
    if path.is_file():
        known = read_json(path)
        write_json(
            path,
            known
            | suppression.fingerprint(settings.suppression)
            | corrections.fingerprint(settings.path("raw"), known),
        )


def customer_ids(settings: Settings) -> list[str]:
    """Every customer id in the input as it stands there, sorted. Raises Misuse if a file is not on this machine."""
    if settings.data.transactions == SYNTHETIC:
        from sovereign_ml.pipeline.demo_shop import make

        shop = make(settings.data.synthetic)
        return sorted(
            {
                str(one)
                for frame in (shop.transactions, shop.customers)
                for one in frame["customer_id"].dropna()
            }
        )
    return sorted(
        {
            one
            for given, column in tables(settings).items()
            for one in counts(settings, given, column)
        }
    )


def tables(settings: Settings) -> dict[str, str]:
    """The input files, each with its expression for the customer id."""
    data = settings.data
    people = {data.customers: data.customer_columns.customer_id} if data.customers else {}
    return {data.transactions: data.columns.customer_id} | people


def present(settings: Settings, given: str) -> bool:
    """Whether the input can be read from here."""
    return given.startswith(SCHEME) or resolve(settings, given).is_file()


def counts(settings: Settings, given: str, expression: str) -> dict[str, int]:
    """Rows of each customer id in one input file. Raises Misuse if it is not on this machine."""
    from sovereign_ml.storage import duckdb as db

    if not present(settings, given):
        raise Misuse(
            f"No file {given} on this machine: only the source knows who is who. Bring it here, then again."
        )
    connection = db.connect()
    with here(settings, given) as path:
        db.load_file(connection, "source", path, text=[expression])
    rows = connection.execute(
        f"SELECT trim(CAST(({expression}) AS VARCHAR)), count(*) FROM source GROUP BY 1"  # noqa: S608
    ).fetchall()
    return {str(name): int(n) for name, n in rows if name}


def _describe(settings: Settings, pinned: Any) -> dict[str, Any]:
    data = settings.data
    if data.transactions == SYNTHETIC:
        return {"kind": SYNTHETIC, **data.synthetic.model_dump()}
    if data.customers == SYNTHETIC:
        raise Misuse(
            "[data] customers is 'synthetic' but transactions is a file: name a customers file, or set ''."
        )
    tables = {"transactions": data.transactions, "customers": data.customers}
    files = {
        name: _fingerprint(settings, path, name, pinned) for name, path in tables.items() if path
    }
    return {"kind": "files", **files}


def _fingerprint(settings: Settings, given: str, table: str, pinned: Any) -> dict[str, str]:
    before = (pinned or {}).get(table, {})
    found = (
        s3.fingerprint(settings.storage, given)
        if given.startswith(SCHEME)
        else _sha256(resolve(settings, given))
    )
    if found is None:
        if before.get("path") == given:
            return dict(before)
        raise Misuse(
            f"No file {given} for {table}: set [data] in config.toml, or call with DATA=path/to/file.csv."
        )
    return {"path": given, **found}


def _sha256(path: Path) -> dict[str, str] | None:
    if not path.is_file():
        return None
    with path.open("rb") as file:
        return {"sha256": hashlib.file_digest(file, "sha256").hexdigest()}


@contextmanager
def here(settings: Settings, given: str) -> Iterator[Path]:
    """The input as a file on this disk; one from S3 is gone again afterwards, because it holds people's names."""
    if not given.startswith(SCHEME):
        yield resolve(settings, given)
        return
    with tempfile.TemporaryDirectory() as folder:
        yield s3.download(settings.storage, given, Path(folder))


def resolve(settings: Settings, given: str) -> Path:
    """A path as the user wrote it: absolute, or relative to the project's folder."""
    path = Path(given).expanduser()
    return path if path.is_absolute() else settings.root / path
