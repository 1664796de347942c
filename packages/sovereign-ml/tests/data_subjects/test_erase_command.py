"""What `churn data-subject erase` says about what it found."""

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from sovereign_ml.cli import composition, privacy
from sovereign_ml.config.connections import LogLocation
from sovereign_ml.data_subjects import erasure, rectification
from sovereign_ml.data_subjects.project_stores import alone, need_log
from sovereign_ml.data_subjects.receipts import ModelNote, Receipt
from sovereign_ml.data_subjects.stores.protocol import Trace
from sovereign_ml.errors import Misuse


def at(root: Path, setting: str = "sqlite:///.churn/decisions.db", address: str = "") -> Any:
    """The stores of a project, as far as the commands look at them themselves."""
    return SimpleNamespace(
        root=root,
        versions=SimpleNamespace(from_image=False, profile="local"),
        log=LogLocation(setting, address),
        artifacts=SimpleNamespace(card=root),
    )


TRACE = Trace("files of the project", "data/1_raw/transactions.parquet", 3, "rows", "rows removed")


@pytest.mark.parametrize(("removed", "warns"), [((), True), ((TRACE,), False)])
def test_an_id_that_nobody_has_is_said(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, removed: Any, warns: bool
) -> None:
    now = datetime.now(UTC)
    receipt = Receipt(
        id="20261128T120000Z-00000000",
        reference="DSR-1",
        status="complete",
        started_at=now,
        finished_at=now,
        people=("0" * 64,),
        removed=removed,
        remains=(),
        source=("input.csv: the people are not in it.",),
        model=ModelNote(answer="unanswered", done="Nothing."),
        kept=(),
    )
    settings = SimpleNamespace(pseudonym_keys=lambda: (b"k" * 32,))
    monkeypatch.setattr(privacy, "load_settings", lambda _: settings)
    stores = at(tmp_path)
    monkeypatch.setattr(composition, "project_stores", lambda _: stores)
    monkeypatch.setattr(erasure, "erase", lambda *_: receipt)
    done = CliRunner().invoke(privacy.app, ["data-subject", "erase", "--subject", "C999"])
    assert done.exit_code == 0, done.output
    assert ("Nothing was found in any store: check the ids" in done.output) is warns


def test_two_requests_at_once_do_not_share_a_journal(tmp_path: Path) -> None:
    stores: Any = SimpleNamespace(root=tmp_path, versions=SimpleNamespace(from_image=False))
    with alone(stores), pytest.raises(Misuse, match="wait until it has ended"), alone(stores):
        raise AssertionError("the second one ran")
    with alone(stores):
        pass
    image: Any = SimpleNamespace(root=tmp_path / "no", versions=SimpleNamespace(from_image=True))
    with alone(image), alone(image):
        assert not image.root.exists()


def card(root: Path, *, profile: str = "local", head: str | None = f"1234:{'0' * 64}") -> None:
    facts = {"run": {"profile": profile}, "decision": {"log_head": head} if head else {}}
    (root / "card.json").write_text(json.dumps({"facts": facts}))


def test_a_log_that_is_on_the_card_and_not_here_is_no_empty_log(tmp_path: Path) -> None:
    need_log(at(tmp_path))
    card(tmp_path)
    with pytest.raises(
        Misuse, match=r"decisions\.db is not here, and by the card it has 1,234 ent"
    ):
        need_log(at(tmp_path))
    need_log(at(tmp_path, address="sqlite:///log.db"))
    need_log(at(tmp_path), in_a_clone=True)
    for other in ({"profile": "eu"}, {"head": None}):
        card(tmp_path, **other)  # type: ignore[arg-type]
        need_log(at(tmp_path))


def test_without_the_address_of_its_server_the_log_is_no_empty_log(tmp_path: Path) -> None:
    server = at(tmp_path, "postgresql")
    with pytest.raises(Misuse, match="DATABASE_URL"):
        need_log(server)
    # A project without the service has no log at all.
    need_log(server, in_a_clone=True)
    card(tmp_path)
    with pytest.raises(Misuse, match="DATABASE_URL"):
        need_log(server, in_a_clone=True)
    need_log(at(tmp_path, "postgresql", "postgresql://db.acme.example/log"))


@pytest.mark.parametrize(
    "typed",
    [
        "2026-03-01 10:00:00",
        "2026-03-01T10:00:00",
        "2026-03-01 10:00:00+00:00",  # as access.json has it
        "2026-03-01T11:00:00+01:00",
        "2026-03-01T10:00:00Z",
    ],
)
def test_a_purchase_is_named_by_its_time_with_or_without_a_zone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, typed: str
) -> None:
    rows = []

    def rectify(_: Any, __: Any, row: Any, *___: Any) -> Any:
        rows.append(row)
        raise Misuse("enough")

    monkeypatch.setattr(privacy, "load_settings", lambda _: SimpleNamespace(pseudonym_keys=tuple))
    monkeypatch.setattr(privacy, "_people", lambda *_: ["a" * 32])
    monkeypatch.setattr(composition, "project_stores", lambda _: at(tmp_path))
    monkeypatch.setattr(rectification, "rectify", rectify)
    command = ["data-subject", "rectify", "--subject", "C1", "--set", "amount_eur=1.00"]
    done = CliRunner().invoke(privacy.app, [*command, "--purchase", typed])
    assert str(done.exception) == "enough", done.output
    assert [row.time for row in rows] == [datetime(2026, 3, 1, 10, tzinfo=UTC)]
