"""Three lines instead of a settings module.

::

    from yourlabs.setup import Setup
    setup = Setup(globals())
    setup.full()

Importing this reads no settings: it is meant to be imported by a settings module.
"""

from yourlabs.setup.steps import Setup

__all__ = ["Setup"]
