# SPDX-License-Identifier: Apache-2.0
"""The two speeds of the tests: what every run has, and what `./run tests --long` adds."""

from __future__ import annotations

import os

LONG = bool(os.environ.get("KURIER_TEST_LONG"))
"""Whether the tests that take long run too."""
