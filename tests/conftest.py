"""Suites that lie in the product (labwright.testing) explain their assertions as those of tests do."""

import pytest

pytest.register_assert_rewrite("labwright.testing", "tests.contract", "tests.property")
