"""What a test needs from the machine, and what happens without it: a loud skip, or a failure where it must be there."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest

NOT_RUN = "not run: "
"""Opens the reason of a skip that the summary must repeat: the machine lacks something."""


def require(switch: str, missing: str) -> NoReturn:
    """Skip this test loudly because something is missing, or fail it when the environment says that it must be there.

    Args:
        switch: The environment variable that turns the skip into a failure, as `REQUIRE_KAFKA`.
        missing: What was expected, what was found, what to do.
    """
    if os.environ.get(switch) == "1":
        pytest.fail(f"{switch}=1 but {missing}", pytrace=False)
    pytest.skip(NOT_RUN + missing)
