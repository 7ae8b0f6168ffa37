"""What every test needs."""

from __future__ import annotations

import os

import hypothesis

# Options of this run are no options of the pytest processes that tests start: with
# --cov they would combine, and delete, what this one measures.
os.environ.pop("PYTEST_ADDOPTS", None)

# A loaded machine may take any time for an example; `timeout` is for those that hang.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
