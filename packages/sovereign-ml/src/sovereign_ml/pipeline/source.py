"""The file data/source.json: the flow's input by content hash, which DVC watches."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

from sovereign_ml import __version__
from sovereign_ml.bundle.installed_files import sha256_of
from sovereign_ml.config.connections import LogLocation, ObjectStorage, SuppressionFiles
from sovereign_ml.config.data_tables import DataSettings, Files, ReaderSettings
from sovereign_ml.config.profiles import SCHEME
from sovereign_ml.config.settings import Settings
from sovereign_ml.errors import Misuse
from sovereign_ml.pipeline.input_checks.customer_ids import named_id
from sovereign_ml.privacy import corrections, objections, suppression
from sovereign_ml.storage import s3
from sovereign_ml.storage.artifacts import need, read_json, write_json
from sovereign_ml.supply_chain.content import content_digest

SYNTHETIC = "synthetic"


@dataclass(frozen=True)
class InputFiles:
    """The input that ``[data]`` names. A relative path starts at the project's folder ``root``."""

    config: DataSettings
    root: Path
    storage: ObjectStorage

    def tables(self) -> list[tuple[str, str, ReaderSettings]]:
        """Return each input file with its expression for the customer id and its reader."""
        config = self.config
        named = [
            (config.transactions, config.columns.customer_id, config.reader),
            (config.customers, config.customer_columns.customer_id, config.reader),
        ]
        if config.transactions == SYNTHETIC:
            named = []
        named += [(table.file, table.customer_id, table.reader) for table in config.events.values()]
        return [(path, id_, reader) for files, id_, reader in named for path in self.expand(files)]

    def expand(self, named: Files | Sequence[str]) -> list[str]:
        """Return the files that ``[data]`` names, sorted.

        A folder stands for its Parquet files, and a pattern for the files that fit it. A name
        without a file is kept, so that the code that opens it reports it missing.
        """
        entries = [named] if isinstance(named, str) else named
        paths: dict[str, None] = {}
        for entry in entries:
            if entry:
                paths |= dict.fromkeys(self._expand_one(entry))
        return list(paths)

    def _expand_one(self, entry: str) -> list[str]:
        if entry.startswith(SCHEME):
            if any(mark in entry for mark in "*?[") or entry.endswith("/"):
                raise Misuse(
                    f"{entry} is a pattern or a folder in a bucket: list its objects one by one in "
                    "[data]."
                )
            return [entry]
        place = self._resolve(entry)
        if place.is_dir():
            inside = [p for p in place.rglob("*") if _is_part(p.relative_to(place)) and p.is_file()]
            _refuse_old_versions(entry, inside)
            other = [p for p in inside if not p.name.lower().endswith((".parquet", ".pq"))]
            if other:
                raise Misuse(
                    f"The folder {entry} also holds {other[0].name}: a folder is read when all of "
                    "its files are "
                    f'Parquet. Name the files, such as "{entry.rstrip("/")}/*.csv".'
                )
            return sorted(f"{entry.rstrip('/')}/{p.relative_to(place)}" for p in inside) or [entry]
        if place.is_file() or not any(mark in entry for mark in "*?["):
            return [entry]
        # A relative name stays relative, so that the pin is the same in every clone.
        relative = not Path(entry).expanduser().is_absolute()
        # Path.glob refuses absolute patterns, so the search starts at the root of the disk. The
        # project's own folder is no pattern, whatever its characters.
        top = self.root if relative else Path(place.anchor)
        pattern = entry if relative else str(place.relative_to(top))
        fitting = sorted(p for p in top.glob(pattern) if p.is_file())
        # As in a shell, `*.csv` leaves out hidden files, such as the `._sales.csv` of a Mac.
        if not Path(entry).name.startswith("."):
            fitting = [p for p in fitting if not p.name.startswith(".")]
        _refuse_old_versions(entry, fitting)
        return [
            str(p.relative_to(self.root) if relative and p.is_relative_to(self.root) else p)
            for p in fitting
        ] or [entry]

    def customer_ids(self) -> list[str]:
        """Return every customer id in the input in its original form, sorted.

        Raises Misuse if a file is not on this machine.
        """
        if self.config.transactions == SYNTHETIC:
            from sovereign_ml.pipeline.demo_shop import make

            shop = make(self.config.synthetic)
            frames = (shop.transactions, shop.customers)
            return sorted({str(id_) for frame in frames for id_ in frame["customer_id"].dropna()})
        return sorted({id_ for table in self.tables() for id_ in self.counts(*table)})

    def present(self, path: str) -> bool:
        """Return whether the input ``path`` can be read from here."""
        return path.startswith(SCHEME) or self._resolve(path).is_file()

    def counts(self, path: str, expression: str, reader: ReaderSettings) -> dict[str, int]:
        """Return the rows of each customer id in one input file.

        Raises Misuse if it is not on this machine.
        """
        from sovereign_ml.storage import duckdb as db

        if not self.present(path):
            raise Misuse(
                f"No file {path} on this machine: only the source knows who is who. "
                "Bring it here, then again."
            )
        connection = db.connect()
        with self.local_copies([path]) as files:
            db.load_files(connection, "source", files, reader)
        # TRY: where the expression fails, the row has no id, and the count goes on.
        id_ = named_id(f"TRY({expression})", reader.null_words)
        rows = connection.execute(f"SELECT {id_}, count(*) FROM source GROUP BY 1").fetchall()  # noqa: S608
        return {str(name): int(n) for name, n in rows if name}

    @contextmanager
    def local_copies(self, named: Files | Sequence[str]) -> Iterator[list[Path]]:
        """Yield the files of one table on this disk."""
        # Copies from S3 are deleted afterwards, because they hold people's names.
        with tempfile.TemporaryDirectory() as folder:
            copies = []
            for number, path in enumerate(self.expand(named)):
                if not path.startswith(SCHEME):
                    copies.append(self._resolve(path))
                    continue
                # A folder for each, because two objects may have the same name.
                place = Path(folder) / str(number)
                place.mkdir()
                copies.append(s3.download(self.storage, path, place))
            yield copies

    def describe(self, pinned: dict[str, Any] | None) -> dict[str, Any]:
        """Return the kind of input and its content hashes. A missing file keeps its pin."""
        config = self.config
        if not config.transactions:
            contract = " --set label.kind=ended" if config.customer_columns.ended_at else ""
            raise Misuse(
                "config.toml [data] transactions names no file yet: first call "
                f"`churn data suggest FILE{contract}` with your transactions, "
                "and again with --apply when it reads them right."
            )
        if config.transactions == SYNTHETIC:
            if config.customers not in (SYNTHETIC, ""):
                raise Misuse(
                    f"[data] customers is {config.customers!r} but transactions is 'synthetic': "
                    "the built-in shop has its own customers. Name a transactions file too "
                    "(DATA=path/to/transactions.csv), or leave customers at 'synthetic'."
                )
            # That setting changes no row, so it must not make every step run again.
            shop = config.synthetic.model_dump(exclude={"old_features"})
            return {"kind": SYNTHETIC, **shop, **self._pinned_tables({}, pinned)}
        if config.customers == SYNTHETIC:
            raise Misuse(
                "[data] customers is 'synthetic' but transactions is a file: "
                "name a customers file, or set ''."
            )
        tables = {"transactions": config.transactions, "customers": config.customers}
        return {"kind": "files", **self._pinned_tables(tables, pinned)}

    def _pinned_tables(
        self, tables: dict[str, Files], pinned: dict[str, Any] | None
    ) -> dict[str, Any]:
        """Return the content of each table, of the event tables and of the exchange rates."""
        events = {f"events.{name}": table.file for name, table in self.config.events.items()}
        return {
            name: self._pinned_files(named, name, (pinned or {}).get(name, {}))
            for name, named in (tables | events | {"rates": self.config.rates_file}).items()
            if named
        }

    def _pinned_files(self, named: Files, table: str, before: dict[str, Any]) -> dict[str, Any]:
        """Return the configured name and the content of each of its files.

        Missing files keep their pin.
        """
        configured: str | list[str] = named if isinstance(named, str) else list(named)
        paths = self.expand(named)
        contents = {path: self._content(path) for path in paths}
        missing = [path for path, content in contents.items() if content is None]
        if missing:
            # All files away is a clone without them. A part of them away is an incomplete input.
            if before.get("path") == configured and len(missing) == len(paths):
                return dict(before)
            where = {
                "transactions": "[data] in config.toml, or call with DATA=path/to/file.csv",
                "customers": "[data] in config.toml, or call with DATA=path/to/file.csv",
                "rates": "[data] rates_file in config.toml",
            }.get(table, f"[data.{table}] file in config.toml")
            raise Misuse(f"No file {missing[0]} for {table}: set {where}.")
        if paths == [configured]:
            return {"path": configured, **(contents[paths[0]] or {})}
        return {"path": configured, "files": contents}

    def _content(self, path: str) -> dict[str, str] | None:
        if path.startswith(SCHEME):
            return s3.fingerprint(self.storage, path)
        return _sha256(self._resolve(path))

    def _resolve(self, path: str) -> Path:
        file = Path(path).expanduser()
        return file if file.is_absolute() else self.root / file


@dataclass(frozen=True)
class SourcePin:
    """The file ``data/source.json``. ``raw`` is the artifact of step 1, which has corrections."""

    path: Path
    raw: Path
    files: InputFiles
    suppression: SuppressionFiles
    log: LogLocation

    def refresh(self) -> Path:
        """Write the file if the input that config.toml names has changed, and return its path.

        A clone that has the versioned data but not the raw file keeps the pinned input, so that
        nothing runs again.
        """
        note_library(self.files.root)
        pinned = read_json(self.path) if self.path.is_file() else None
        previous = pinned or {}
        now = (
            self.files.describe(pinned)
            | suppression.fingerprint(self.suppression)
            | objections.fingerprint(self.log, previous)
        )
        now |= corrections.fingerprint(self.raw, previous)
        if now != pinned:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            write_json(self.path, now)
        return self.path

    def note_removed_rows(self) -> None:
        """Take over the erasures, expiry and corrections that the rows in ``data/`` already follow.

        Step 1 then need not run again for them. Nothing is written before the first run.
        """
        if self.path.is_file():
            pinned = read_json(self.path)
            write_json(
                self.path,
                pinned
                | suppression.fingerprint(self.suppression)
                | corrections.fingerprint(self.raw, pinned),
            )


def input_files(settings: Settings) -> InputFiles:
    """Return the input of the project."""
    return InputFiles(config=settings.data, root=settings.root, storage=settings.storage)


def source_pin(settings: Settings) -> SourcePin:
    """Return the pin of the project's input."""
    return SourcePin(
        path=settings.path("source"),
        raw=settings.path("raw"),
        files=input_files(settings),
        suppression=settings.suppression,
        log=settings.log_location,
    )


def shop_may_be_old(settings: Settings) -> bool:
    """Return whether the data is the built-in shop and may be scored although it is old.

    The shop has no real people. The setting is ``[data.synthetic] old_features``, and it counts in
    the profile local only. The result is never true for own files.
    """
    path = settings.path("source")
    kind = read_json(path).get("kind") if path.is_file() else SYNTHETIC
    return (
        settings.profile_name == "local"
        and settings.data.synthetic.old_features
        and settings.data.transactions == kind == SYNTHETIC
    )


def watched_until(settings: Settings, now: datetime) -> datetime:
    """Return the midnight (UTC) after the last day that the monitor looks at.

    It is today, or the last day of data that end by themselves: those of the built-in shop, and
    those of ``[data] as_of``.
    """
    day = now.replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
    if settings.data.as_of:
        day = min(day, datetime.combine(settings.data.as_of, time.min))
    elif shop_may_be_old(settings):
        summary = read_json(need(settings.path("valid"), "validate") / "summary.json")
        # The built-in shop is invented and ends on a fixed day.
        day = datetime.fromisoformat(summary["newest_event"])
    return day + timedelta(days=1)


def refresh(settings: Settings) -> Path:
    """Write ``data/source.json`` if the project's input has changed, and return its path."""
    return source_pin(settings).refresh()


def note_library(root: Path) -> None:
    """Write ``data/library.json``, which every DVC stage depends on.

    It holds version and content of the installed library.
    """
    path = root / "data" / "library.json"
    state = {"version": __version__, "content_sha256": content_digest()}
    if not path.is_file() or read_json(path) != state:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, state)


def _sha256(path: Path) -> dict[str, str] | None:
    if not path.is_file():
        return None
    return {"sha256": sha256_of(path)}


def _refuse_old_versions(entry: str, files: Sequence[Path]) -> None:
    """Raise Misuse if one of the Parquet ``files`` is a part of a table with a log."""
    folders: set[Path] = set()
    for file in files:
        if file.name.lower().endswith((".parquet", ".pq")):
            # Partitions such as day=2026-01-31 are folders inside of the table.
            above = [p for p in file.parents if "=" not in p.name]
            folders.add(above[0])
    for folder in sorted(folders):
        logs = {
            "Delta": folder.glob("_delta_log"),
            "Hudi": folder.glob(".hoodie"),
            "Iceberg": folder.parent.glob("metadata/*.metadata.json"),
        }
        for name, places in logs.items():
            if any(places):
                raise Misuse(
                    f"{entry} holds files of a {name} table: they also have rows that were deleted "
                    "or replaced, which its log alone tells apart. Write the current version to a "
                    "folder of its own as Parquet, and name that."
                )


def _is_part(path: Path) -> bool:
    """Return whether Spark and similar tools take a file for data."""
    # They write notes of their own under names that begin with a dot or an underscore.
    return not any(part.startswith((".", "_")) for part in path.parts)
