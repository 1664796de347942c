"""The table of what a review found: each row ends as it must, here or in the test that it names."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

import pytest

from sovereign_ml.jurisdictions import classify
from spots import RIGHT, findings, table, worst

TESTS = Path(__file__).parents[1]
FAULTS = table("faults.tsv")
ADDRESSES, FILES = [f"A{number}" for number in range(1, 13)], [f"f{n:02}" for n in range(1, 21)]
REVIEWED = {
    *("0", *ADDRESSES, *FILES, "S1", "S2", "S3", "N1", "N2", "P1"),
    *("I1", "I2", "I3", "I4", "I5", "I6", "O1"),
}
"""Every finding of the review, and every file of its extract; 0 is the small project of its summary."""
HARMLESS = 48
"""Places that the review tried and that carry nothing; 35 of them were refused."""


@cache
def names_and_texts(module: str) -> tuple[set[str], set[object]]:
    """Return the functions of a module, and the constants that parameters of its tests can be."""
    tree = ast.parse((TESTS.parent / module).read_text(encoding="utf-8"))
    functions = {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    return functions, {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}


def is_a_test(node: str) -> bool:
    """Return True where ``module::test[parameter]`` exists."""
    module, _, rest = node.partition("::")
    name, bracket, parameter = rest.partition("[")
    functions, texts = names_and_texts(module)
    return name in functions and (not bracket or parameter.removesuffix("]") in texts)


def ends_right(folder: Path, now: str, where: str, what: str) -> bool:
    """Return True where a row of the table ends as it must."""
    if "::" in where:
        return is_a_test(where)
    if where == "host":
        return classify(f"https://{what}").jurisdiction.value == now
    if where.startswith("secrets.tsv:"):  # each row of that table is scanned in its own test
        return [now, where.partition(":")[2], what] in table("secrets.tsv")
    return worst(folder, where, what) in RIGHT[now]


def test_every_finding_of_the_review_has_rows() -> None:
    assert {row[0].partition(".")[0] for row in FAULTS} == REVIEWED
    assert all(len(row) == 5 and all(row) and row[1] != row[2] for row in FAULTS)
    harmless = [row for row in FAULTS if row[2] == "QUIET" and row[0].startswith("A")]
    assert len(harmless) >= HARMLESS


def test_each_row_ends_as_the_table_says(tmp_path: Path) -> None:
    wrong = [
        row
        for number, row in enumerate(FAULTS)
        if not ends_right(tmp_path / str(number), row[2], row[3], row[4])
    ]
    assert wrong == []


def test_an_image_behind_an_anchor_is_one_finding(tmp_path: Path) -> None:
    services = "".join(f"  s{number}:\n    <<: *a\n" for number in range(4))
    text = f"x-a: &a\n  image: docker.io/acme/churn:1\nservices:\n{services}"
    assert len(findings(tmp_path, "compose.yaml", text.replace("\n", "\\n"))) == 1


@pytest.mark.parametrize("rest", ["test_not_there", "test_each_row_ends_as_the_table_says[x-y]"])
def test_a_row_may_not_name_a_test_that_is_none(rest: str) -> None:
    assert not is_a_test(f"tests/audit/test_named_faults.py::{rest}")
    assert is_a_test("tests/audit/test_named_faults.py::test_each_row_ends_as_the_table_says")
