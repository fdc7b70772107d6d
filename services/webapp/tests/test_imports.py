"""Programs of the webapp start without large libraries that few of them use."""

import subprocess
import sys
from importlib.metadata import entry_points

PROGRAMS = ("memicos_webapp.serve", "memicos_webapp.worker_program")


def test_no_program_imports_the_openai_library() -> None:
    """It takes half a second; only jobs that call a language model, and the embedder openai, use it."""
    commands = {entry.module for entry in entry_points(group="memicos.commands")}
    modules = [*PROGRAMS, *sorted(module for module in commands if module.startswith("memicos_webapp."))]
    assert len(modules) > len(PROGRAMS)
    code = f"import sys, {', '.join(modules)}\nprint({{'openai', 'aiohttp'}} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "set()"
