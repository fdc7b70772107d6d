"""A lazily imported module is imported on first use, and not before."""

import subprocess
import sys

PROGRAM = """
import sys
from memicos_engine.sources import source_specs
assert "sae_lens" in sys.modules and "wandb" in sys.modules and "wandb.sdk" not in sys.modules
import inspect
inspect.getmodule(source_specs)
assert "wandb.sdk" not in sys.modules
import wandb
assert wandb.__name__ == "wandb" and callable(wandb.init) and "wandb.sdk" in sys.modules
from memicos_engine.lazy_import import postpone_import
postpone_import("no_such_package_anywhere")
assert "no_such_package_anywhere" not in sys.modules
"""


def test_wandb_is_imported_when_it_is_used() -> None:
    result = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=300, check=False)
    assert result.returncode == 0, result.stderr
