"""Numbers as pages show them."""

import pytest
from memicos_webapp.formatting import format_value


@pytest.mark.parametrize(
    ("number", "shown"),
    [(0.123, "0.12"), (12.34, "12.3"), (-123.4, "-123"), (25056.9, "25057"), (1e39, "1.00e+39"), (-2e6, "-2.00e+06")],
)
def test_a_value_is_short_whatever_its_size(number: float, shown: str) -> None:
    assert format_value(number) == shown
