"""The card says whether people under 18 are in the data, by their year of birth alone."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from sovereign_ml.pipeline.card_facts.training_data import minors

CHECKED = {"newest_event": "2026-06-30"}


@pytest.mark.parametrize(
    ("years", "surely", "possibly"),
    [
        ([2009], True, True),
        # Born in 2008: 18 or, with a birthday in December, still 17.
        ([2008], False, True),
        ([1980, 2008, None], False, True),
        ([2007], False, False),
        ([None, None], None, None),
        ([], None, None),
    ],
)
def test_who_may_still_be_17_is_no_adult_for_sure(
    tmp_path: Path, years: list[int | None], surely: bool | None, possibly: bool | None
) -> None:
    groups = tmp_path / "groups.parquet"
    pd.DataFrame({"birth_year": pd.array(years, dtype="Int32")}).to_parquet(groups)
    assert minors(groups, CHECKED) == {"minors_found": surely, "minors_possible": possibly}


def test_without_a_table_of_groups_nothing_is_known(tmp_path: Path) -> None:
    known = minors(tmp_path / "groups.parquet", CHECKED)
    assert known == {"minors_found": None, "minors_possible": None}
