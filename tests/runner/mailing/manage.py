"""The command line of a project before it has a chain."""

from __future__ import annotations

import sys

from django.core.management import execute_from_command_line

execute_from_command_line(sys.argv)
