"""Postpones the import of a module that a library imports and this process will most likely never use."""

import importlib.util
import sys
from types import ModuleType
from typing import Any


class _PostponedModule(ModuleType):
    """A module that is executed on the first access to an attribute that it lacks.

    `importlib.util.LazyLoader` executes it as soon as `inspect` looks at `__file__` of all modules, which torch has it
    do at import.
    """

    def __getattr__(self, name: str) -> Any:
        spec = self.__spec__
        if spec is None or spec.loader is None or name.startswith("__"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        object.__setattr__(self, "__class__", ModuleType)
        spec.loader.exec_module(self)
        return getattr(self, name)


def postpone_import(name: str) -> None:
    """Have `import name` execute the package when an attribute of it is first used; without effect where it is not
    installed, or imported already."""
    if name in sys.modules or (spec := importlib.util.find_spec(name)) is None:
        return
    module = importlib.util.module_from_spec(spec)
    module.__class__ = _PostponedModule
    sys.modules[name] = module
