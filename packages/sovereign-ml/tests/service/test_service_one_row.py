import numpy as np
from hypothesis import given
from hypothesis import strategies as st

import bundles
from sovereign_ml.service.api.one_row import OneRow

MODEL = bundles.model()
NUMBERS = st.none() | st.floats(-10, 1e6, allow_nan=False)
ROWS = st.fixed_dictionaries(
    {part.name: NUMBERS for part in MODEL.numeric}
    | {"preferred_category": st.none() | st.sampled_from(["gifts", "home", "never seen"])}
)


@given(ROWS)
def test_one_row_gives_the_numbers_of_the_scorecard(row: dict[str, float | str | None]) -> None:
    columns = {name: [value] for name, value in row.items()}
    one = OneRow(MODEL)
    parts = one.contributions(row)
    assert tuple(parts) == MODEL.features
    np.testing.assert_allclose(
        list(parts.values()), MODEL.contributions(columns)[0], rtol=0, atol=1e-12
    )
    assert abs(one.probability(parts) - MODEL.probability(columns)[0]) < 1e-12


@given(ROWS, st.sampled_from(MODEL.numeric), st.data())
def test_on_a_knot_the_curve_is_at_its_knot(
    row: dict[str, float | str | None], curve: object, data: st.DataObject
) -> None:
    i = data.draw(st.integers(0, len(curve.knots) - 1))  # type: ignore[attr-defined]
    parts = OneRow(MODEL).contributions({**row, curve.name: curve.knots[i]})  # type: ignore[attr-defined]
    assert abs(parts[curve.name] - curve.log_odds[i]) < 1e-9  # type: ignore[attr-defined]
