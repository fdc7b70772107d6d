"""Fail where a package of requirements.lock has a known vulnerability; `make audit`.

pip-audit asks one of two services, of the Python package index or OSV. Where neither can be reached, the audit is
skipped with the reason, and the exit status is 0: no network is no vulnerability.
"""

import json
import subprocess
import sys
import tempfile
import urllib.request
from pathlib import Path

from lock import LOCK, entries, pinned

PYPI, OSV = "https://pypi.org/pypi", "https://api.osv.dev/v1"
TIMEOUT_SECONDS = 20
ACCEPTED: dict[str, str] = {}
"""Ids of vulnerabilities that do not concern memicos, with the reason."""


def unreachable(address: str) -> str | None:
    """Why a service has no data here; None where it answers."""
    try:
        with urllib.request.urlopen(address, timeout=TIMEOUT_SECONDS) as response:
            json.load(response)
    except (OSError, ValueError) as error:
        return str(error)
    return None


def choose_service() -> str | None:
    """A service that answers; None, with the reasons printed, where there is none."""
    reasons = []
    # an address of each, by pip-audit's names, that has data on a vulnerability of an old pip
    for name, address in {"pypi": f"{PYPI}/pip/23.2/json", "osv": f"{OSV}/vulns/PYSEC-2023-228"}.items():
        reason = unreachable(address)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    print(f"audit skipped, as no data on vulnerabilities can be reached ({'; '.join(reasons)})")
    return None


def problems(report: dict[str, list[dict[str, object]]]) -> list[str]:
    """The findings of pip-audit's JSON report: vulnerabilities that are not accepted, and packages without data."""
    lines = []
    for package in report["dependencies"]:
        name = f"{package['name']} {package.get('version', '')}".strip()
        if "skip_reason" in package:
            lines.append(f"{name}: {package['skip_reason']}")
        vulnerabilities = package.get("vulns", [])
        assert isinstance(vulnerabilities, list)
        for vulnerability in vulnerabilities:
            names = {vulnerability["id"], *vulnerability.get("aliases", [])}
            if not names & ACCEPTED.keys():
                fixed = ", ".join(vulnerability["fix_versions"]) or "no version"
                lines.append(f"{name}: {vulnerability['id']}, fixed in {fixed}")
    return lines


def report_of(requirements_text: str, service: str) -> dict[str, list[dict[str, object]]]:
    """pip-audit's JSON report. Raises SystemExit where pip-audit fails."""
    with tempfile.TemporaryDirectory() as folder:
        requirements = Path(folder) / "requirements.txt"
        requirements.write_text(requirements_text)
        options = ["-r", requirements, "--no-deps", "--disable-pip", "-f", "json", "--progress-spinner=off"]
        command = [sys.executable, "-m", "pip_audit", *options, "-s", service, "--osv-url", f"{OSV}/query"]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
    if not done.stdout.startswith("{"):
        sys.exit(f"pip-audit failed: {done.stderr.strip()[-2000:]}")
    return json.loads(done.stdout)


def main() -> None:
    service = choose_service()
    if service is None:
        return
    if lines := problems(report_of("".join(f"{pinned(entry)}\n" for entry in entries(LOCK.read_text())), service)):
        sys.exit("\n".join(lines))
    print(f"pip-audit ({service}): no known vulnerability")


if __name__ == "__main__":
    main()
