"""Sign-in links of `memicos owner-link`."""

import subprocess
import sys


def owner_link(environment: dict[str, str], url: str) -> str:
    """A one-time sign-in link for the webapp at `url`, whose database `environment` names."""
    result = subprocess.run(
        [sys.executable, "-c", "from memicos_cli.main import app; app()", "owner-link"],
        env=environment | {"MEMICOS_PUBLIC_URL": url}, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return result.stdout.strip()
