"""DuckDB reads the team's files without guessing what it cannot know."""

from pathlib import Path

import pytest

from sovereign_ml.storage import duckdb as db


def load(path: Path, text: str, *expressions: str) -> dict[str, str]:
    path.write_text(text)
    connection = db.connect()
    db.load_file(connection, "t", path, text=expressions)
    return {str(row[0]): str(row[1]) for row in connection.execute("DESCRIBE t").fetchall()}


def test_no_column_is_guessed_to_hold_times(tmp_path: Path) -> None:
    text = "a,b,c,d\n2026-01-01 10:00:00,01/02/2026,2026-01-01T10:00:00Z,10:00\n"
    assert set(load(tmp_path / "a.csv", text).values()) == {"VARCHAR"}


def test_numbers_are_numbers_so_that_expressions_can_multiply(tmp_path: Path) -> None:
    assert load(tmp_path / "a.csv", "n,price\n3,2.5\n") == {"n": "BIGINT", "price": "DOUBLE"}


@pytest.mark.parametrize("expression", ["id", '"id"', "ID", "trim(id)", "'C' || id"])
def test_a_column_that_the_id_is_made_of_stays_text(tmp_path: Path, expression: str) -> None:
    assert load(tmp_path / "a.csv", "id,n\n007,1\n", expression) == {"id": "VARCHAR", "n": "BIGINT"}


def test_types_are_found_from_every_row(tmp_path: Path) -> None:
    text = "n\n" + "1\n" * 50_000 + "many\n"
    assert load(tmp_path / "a.csv", text) == {"n": "VARCHAR"}


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("Quantity * UnitPrice", ["Quantity", "UnitPrice"]),
        ("quantity", ["Quantity"]),
        ('"Customer ID"', ["Customer ID"]),
        ("strptime(day, '%d Quantity')", ["day"]),
        ("UnitPriceNet", []),
        ("1", []),
    ],
)
def test_columns_are_found_in_an_expression(expression: str, expected: list[str]) -> None:
    assert db.mentioned(["Quantity", "UnitPrice", "Customer ID", "day"], expression) == expected


def test_the_database_asks_no_server_for_extensions() -> None:
    connection = db.connect()
    for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
        assert connection.execute(f"SELECT current_setting('{name}')").fetchone() == (False,)


def test_a_path_with_a_quote_is_written(tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    db.write_parquet(db.connect(), "SELECT 1 AS a", path)
    assert path.stat().st_size > 0
