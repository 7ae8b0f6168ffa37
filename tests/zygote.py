"""
A process that forks others, ready to run a chain: many in the time that one starts.

It is told ``command`` or ``host`` line by line, answers with the child's pid, and notes
in the log of the tasks how each child ended.
"""

from __future__ import annotations

import os
import select
import signal
import sys
from pathlib import Path

import django
from django.conf import settings

from tests.jobs import note
from yourlabs.runner.__main__ import embedded_settings


def run(kind: str, functions: list[str]) -> int:
    """Run a chain until SIGTERM, and return the exit code."""
    from yourlabs import runner

    if kind == "command":
        return runner.Runner(functions).run(leaving=True)
    stop = signal.SIGTERM
    signal.pthread_sigmask(signal.SIG_BLOCK, {stop})
    runner.start_chain(functions)
    signal.sigwait({stop})
    return 0 if runner.stop_all(10) else 1


def bury() -> None:
    """Note how children have ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        note("exit", child=pid, code=os.waitstatus_to_exitcode(status))


def main(functions: list[str]) -> None:
    """Fork as told, until nobody is there to tell."""
    settings.configure(**embedded_settings(Path.cwd()))
    django.setup()
    import yourlabs.runner.chain.command

    assert yourlabs.runner.chain.command
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while True:
        bury()
        if not poll.poll(20):
            continue
        order = os.read(0, 1)
        if not order:
            return
        child = os.fork()
        if not child:
            os.close(0)
            # Mails go to the standard output.
            os.dup2(2, 1)
            os._exit(run("command" if order == b"c" else "host", functions))
        os.write(1, b"%d\n" % child)


if __name__ == "__main__":
    main(sys.argv[1:])
