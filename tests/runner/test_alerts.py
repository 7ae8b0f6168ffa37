"""The alert rules of the documentation, evaluated by Prometheus' own tool."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.runner.site.chains import with_a_past
from yourlabs.runner.steer.reading import read_chain
from yourlabs.runner.web.metrics import render

RULES = Path(__file__).parents[2] / "docs" / "_static" / "alerts.yml"
PROMTOOL = shutil.which("promtool")

pytestmark = pytest.mark.skipif(PROMTOOL is None, reason="promtool is not installed")

CASES = {
    "RunnerChainHasNoOwner": (
        {"chain_owned": "0x60", "chain_paused": "0x60"},
        {"chain_owned": "1x60", "chain_paused": "0x60"},
        {"chain_owned": "0x60", "chain_paused": "1x60"},
    ),
    "RunnerChainIsLate": (
        {"chain_next_run_timestamp_seconds": "60x60", "chain_paused": "0x60"},
        {"chain_next_run_timestamp_seconds": "0x60", "chain_paused": "0x60"},
        {"chain_next_run_timestamp_seconds": "60x60", "chain_paused": "1x60"},
    ),
    "RunnerTaskFails": (
        {"task_consecutive_failures": "3x60"},
        {"task_consecutive_failures": "2x60"},
    ),
    "RunnerOwnerChangesOften": (
        {"chain_owner_changes_total": "0+1x60"},
        {"chain_owner_changes_total": "7x60"},
    ),
    "RunnerReportsAreNotDelivered": (
        {"notifications_pending": "1x120"},
        {"notifications_pending": "0x120"},
    ),
}
"""Of each alert a state in which it fires, and others in which it does not."""


def promtool(*arguments: str, text: str = "") -> None:
    """Have it check something."""
    assert PROMTOOL is not None
    done = subprocess.run(
        [PROMTOOL, *arguments], input=text, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_rules_are_understood() -> None:
    """The file is one of rules."""
    promtool("check", "rules", str(RULES))


@pytest.mark.parametrize(
    ("alert", "number"),
    [
        (alert, number)
        for alert, states in CASES.items()
        for number in range(len(states))
    ],
)
def test_alert(tmp_path: Path, alert: str, number: int) -> None:
    """It fires where somebody is needed, and nowhere else."""
    series = [
        {"series": f'yourlabs_runner_{name}{{chain="c"}}', "values": _values(values)}
        for name, values in CASES[alert][number].items()
    ]
    case = {
        "interval": "1m",
        "input_series": series,
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{alertname="{alert}",alertstate="firing"}})',
                "eval_time": "100m" if "Reports" in alert else "50m",
                "exp_samples": [] if number else [{"labels": "{}", "value": 1}],
            }
        ],
    }
    # JSON is YAML.
    path = tmp_path / "test.yml"
    path.write_text(json.dumps({"rule_files": [str(RULES)], "tests": [case]}))
    promtool("test", "rules", str(path))


def _values(values: str) -> str:
    # "0x60" is 0 sixty times.
    first, _, times = values.rpartition("x")
    return values if "+" in first else f"{first}+0x{times}"


def test_metrics_are_well_formed(tmp_path: Path, settings: Any) -> None:
    """The text has what Prometheus wants of it, names and help included."""
    settings.RUN_ROOT = str(tmp_path)
    thread = with_a_past("poll", fails=True)

    promtool("check", "metrics", text=render([read_chain("poll")], time.time()))
    thread.loop.release()
