"""DuckDB reads the team's files without guessing what it cannot know."""

from pathlib import Path

import pytest

from sovereign_ml.config.data_tables import ReaderSettings
from sovereign_ml.storage import duckdb as db


def test_every_value_of_a_csv_file_stays_text(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("a,b,c,d,e\n2026-01-01 10:00:00,01/02/2026,1,2.50,true\n")
    connection = db.connect()
    found = db.load_files(connection, "t", [path], ReaderSettings())
    assert found.columns == ["a", "b", "c", "d", "e"]
    assert set(db.types_of(connection, "SELECT * FROM t").values()) == {"VARCHAR"}


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


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ('"Prix d\'achat" * "Nombre d\'articles"', ["Prix d'achat", "Nombre d'articles"]),
        ("strptime(\"Date d'achat\", '%d/%m/%Y')", ["Date d'achat"]),
        ("replace(\"Prix d'achat\", '€', '')", ["Prix d'achat"]),
        ('"12"" pipes"', ['12" pipes']),
        ('"date D\'ACHAT"', ["Date d'achat"]),
        ("'it''s a Total' || \"Prix d'achat\"", ["Prix d'achat"]),
        ('"Order Total"', ["Order Total"]),
        ('Total -- not the "Order Total", it\'s net', ["Total"]),
        ('Total /* "Order Total" */', ["Total"]),
        ("Total/2 - 1", ["Total"]),
    ],
)
def test_a_quoted_column_is_found_whatever_its_name_holds(
    expression: str, expected: list[str]
) -> None:
    columns = ["Prix d'achat", "Nombre d'articles", "Date d'achat", '12" pipes', "Order Total"]
    assert db.mentioned([*columns, "Total"], expression) == expected


def test_the_database_asks_no_server_for_extensions() -> None:
    connection = db.connect()
    for name in ("autoinstall_known_extensions", "autoload_known_extensions"):
        assert connection.execute(f"SELECT current_setting('{name}')").fetchone() == (False,)


def test_a_path_with_a_quote_is_written(tmp_path: Path) -> None:
    path = tmp_path / "it's.parquet"
    db.write_parquet(db.connect(), "SELECT 1 AS a", path)
    assert path.stat().st_size > 0
