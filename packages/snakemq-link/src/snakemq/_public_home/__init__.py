"""The public home of what private modules define.

A class is written in a private module and used under a public one: users import it from there,
read its name in error messages, and find it in pickles. Those go over the wire, where another
release may keep the class in another private module, and snakeMQ 1.6 has none of them.
"""

import sys

_FUNCTION = type(lambda: None)


def report_public_home(module_name: str) -> None:
    """Let the classes and functions in the module's ``__all__`` report it as their ``__module__``.

    Each public ``__init__.py`` that re-exports from private modules ends with
    ``report_public_home(__name__)``. What already reports a public home keeps it.
    """
    module = sys.modules[module_name]
    for name in module.__all__:
        thing = getattr(module, name)
        if isinstance(thing, (type, _FUNCTION)) and "._" in thing.__module__:
            thing.__module__ = module_name
