"""What every test needs."""

from __future__ import annotations

import os

# Options of this run are no options of the pytest processes that tests start: with
# --cov they would combine, and delete, what this one measures.
os.environ.pop("PYTEST_ADDOPTS", None)
