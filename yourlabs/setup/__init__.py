"""Three lines instead of a settings module.

::

    from yourlabs.setup import Setup
    setup = Setup(globals())
    setup.full()

Importing this reads no settings: it is meant to be imported by a settings module.
"""

from yourlabs.setup import security as protection
from yourlabs.setup import steps, versions
from yourlabs.setup.context import Context

__all__ = ["Setup"]


class Setup(Context):
    """Give a settings module what it does not set itself.

    ``Setup(globals()).full()`` in a settings module does everything; each step can
    be called alone, in any order and again. What the module has set is never
    changed, what the environment says comes next, then the default. A module that
    imports all names of one with a ``Setup`` may call its steps, or make one of its
    own: either goes on where the other module ended.

    Args:
        settings: The ``globals()`` of the settings module.

    Raises:
        ImproperlyConfigured: By a step, with a line for each variable of the
            environment that cannot be used. It never shows a value.
    """

    full = steps.full
    debug = protection.debug
    defaults = steps.defaults
    filesystem = steps.filesystem
    create_paths = steps.create_paths
    media = steps.media
    static = steps.static
    template = steps.template
    fixture = steps.fixture
    locale = steps.locale
    security = protection.security
    database = steps.database
    cache = steps.cache
    email = versions.email
    admin = versions.admin
    logging = steps.logging
    add_logger = steps.add_logger
    applications = steps.applications
