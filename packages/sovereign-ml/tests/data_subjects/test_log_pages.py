"""What an erasure blanks in the decision log is also gone from the bytes of its files."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sovereign_ml.config.connections import LogLocation
from sovereign_ml.data_subjects.stores.decision_log import Decisions
from sovereign_ml.decision_log import Draft, open_log
from sovereign_ml.errors import Refused

PERSON = "a" * 32


def bytes_of(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in folder.glob("log.db*"))


def test_old_pages_that_another_program_still_reads_are_no_success(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "log.db"
    connect = sqlite3.connect

    def hurried(path: Any, *arguments: Any, **options: Any) -> sqlite3.Connection:
        return connect(path, *arguments, **{"timeout": 0.1, **options})

    monkeypatch.setattr(sqlite3, "connect", hurried)
    with closing(open_log(str(file))) as log:
        log.append([Draft("decision", "case-1", PERSON, '{"outcome": "secret of theirs"}')])
    store = Decisions(LogLocation("sqlite:///log.db", str(file)), file)
    with closing(connect(file)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM decision_log").fetchone() == (1,)
        with pytest.raises(Refused, match="another program reads the decision log"):
            store.remove([PERSON], [])
        assert b"secret of theirs" in bytes_of(tmp_path)
    store.remove([PERSON], [])
    assert b"secret of theirs" not in bytes_of(tmp_path)
    assert store.find([PERSON]) == []
