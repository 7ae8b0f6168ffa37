"""
The signals of the runner, in a blinker namespace of their own.

`yourlabs.runner.chain.signals.send_robust` sends them.

Senders are compared by identity: connect with ``sender=function.runner_task``.
Receivers run in the thread of the chain, and should be quick; receivers of
`task_stalled` run in a thread of their own, while the chain's hangs.
"""

from __future__ import annotations

from blinker import Namespace

_signals = Namespace()

task_started = _signals.signal("task_started")
"""A task is about to be called. Keyword: `run`."""

task_succeeded = _signals.signal("task_succeeded")
"""A task returned. Keyword: `run`."""

task_failed = _signals.signal("task_failed")
"""A task raised. Keywords: `failure`, and `exception`, which must not be kept."""

task_recovered = _signals.signal("task_recovered")
"""A task succeeded after failures. Keyword: `recovery`."""

task_stalled = _signals.signal("task_stalled")
"""A run takes longer than `max_duration`, and still hangs. Keyword: `stall`."""

chain_started = _signals.signal("chain_started")
"""A chain runs in this process from now on. Sender: its `RunnerThread`."""

chain_stopped = _signals.signal("chain_stopped")
"""A chain no longer runs in this process. Sender: its `RunnerThread`."""
