"""The SQL of a project in Spark's dialect, without Spark: what is rewritten, and what is refused."""

from __future__ import annotations

import pytest

from sovereign_ml.features import spark_client
from sovereign_ml.features.spark_client import Untranslatable, translated

CUT = "2026-03-29 00:00:00"


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("SELECT a / b FROM t", "CAST(a AS DOUBLE) / CAST(b AS DOUBLE)"),
        (
            "SELECT avg(a) FILTER (a > 1) FROM t",
            "CAST(SUM(a) FILTER(WHERE a > 1) AS DOUBLE) / CAST(COUNT(a) FILTER(WHERE a > 1)",
        ),
        ("SELECT max(ts, 2)[2] FROM t", "GET(MAX_BY(ts, ts, 2), 1)"),
        (
            "SELECT first(a ORDER BY n DESC, a NULLS LAST) FROM t",
            "MIN_BY(a, STRUCT(n IS NULL, -n, a IS NULL, a))",
        ),
        (
            "SELECT first(a ORDER BY b NULLS FIRST) FROM t",
            "MIN_BY(a, STRUCT(NOT b IS NULL, b))",
        ),
        (
            "SELECT epoch(a - b) FROM t",
            "CAST((UNIX_MICROS(a) - UNIX_MICROS(b)) DIV 86400000000 AS DOUBLE) * 86400 + "
            "CAST(((UNIX_MICROS(a) - UNIX_MICROS(b)) % 86400000000) AS DOUBLE)",
        ),
        ("SELECT epoch(a - INTERVAL 3 DAY) FROM t", "UNIX_MICROS(a - INTERVAL '3' DAY)"),
        ("SELECT getvariable('cut')", f"CAST('{CUT}' AS TIMESTAMP_LTZ)"),
        ("SELECT t.* EXCLUDE (a) FROM t", "t.* EXCEPT (a)"),
        ("SELECT lag(a) OVER (ORDER BY a) FROM t", "ORDER BY a NULLS LAST"),
    ],
)
def test_a_construct_of_duckdb_has_its_counterpart(query: str, expected: str) -> None:
    assert expected in translated(query, CUT)


@pytest.mark.parametrize(
    "query",
    [
        "SELECT string_agg(a ORDER BY b) FROM t",
        "SELECT list(a ORDER BY b) FROM t",
        "SELECT last(a ORDER BY b) FROM t",
        "SELECT max(a, 3) FROM t",
        "SELECT avg(a) OVER (PARTITION BY b) FROM t",
    ],
)
def test_what_spark_may_compute_otherwise_is_refused(query: str) -> None:
    with pytest.raises(Untranslatable) as refusal:
        translated(query)
    line = spark_client.explained(refusal.value)
    assert "\n" not in line
    assert line.startswith("The SQL of a feature has ")


def test_an_error_about_rows_is_told_without_its_message() -> None:
    class NumberFormatException(Exception):
        def getCondition(self) -> str:
            return "CAST_INVALID_INPUT"

    line = spark_client.explained(NumberFormatException("The value 'Anna Schmidt' of the type"))
    assert "Anna" not in line
    assert "CAST_INVALID_INPUT" in line
