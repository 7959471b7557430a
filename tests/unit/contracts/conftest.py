"""The suites live in the package: have pytest explain their assertions too."""

import pytest

pytest.register_assert_rewrite("autopilot.testing.contracts")
