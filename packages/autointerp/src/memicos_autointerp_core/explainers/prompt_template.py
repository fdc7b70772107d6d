"""Prompt templates, each in a file of `templates/` named by method and version.

A file has two parts, `system` and `user`. A name in double braces is replaced by its text, once, so that texts of the
feature are never read as names. A published version is not changed: a change of the prompt is a new file.
"""

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

_NAME = re.compile(r"\{\{(\w+)\}\}")


@dataclass(frozen=True)
class PromptTemplate:
    """The text of both messages, with names in double braces."""

    system: str
    user: str

    def fill(self, values: Mapping[str, str]) -> tuple[str, str]:
        """System and user message.

        Raises:
            KeyError: the template has a name without a value.
        """
        system, user = (_NAME.sub(lambda name: values[name[1]], part) for part in (self.system, self.user))
        return system, user


@cache
def read_template(method: str, version: int) -> PromptTemplate:
    """The template of a method."""
    file = files("memicos_autointerp_core.explainers") / "templates" / f"{method}.v{version}.toml"
    parts = tomllib.loads(file.read_text(encoding="utf-8"))
    return PromptTemplate(parts["system"], parts["user"].strip("\n"))
