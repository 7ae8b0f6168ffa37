"""
What the runner costs, beside bare threads and other schedulers in the same minutes.

``python -m tests.benchmarks [NAME …]`` prints medians of interleaved rounds. Nothing
here is asserted: figures of a busy machine say little, and tests must not depend on
them. ``ROUNDS`` and ``SCALE`` in the environment change how long it takes.
"""
