"""Options of every test run: skipped tests are reported with a count, and `--no-skips` (CI) fails on them.

Databases that programs make for root are in a folder of the run, which is deleted at its end. Programs that tests
start end with Ctrl-C also where pytest runs in the background.
"""

import os
import shutil
import signal
import tempfile
from pathlib import Path

import pytest

# read when torch is first imported: threads of processes that share cores wait for one another
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--no-skips", action="store_true", help="fail if a test was skipped")


def pytest_configure(config: pytest.Config) -> None:
    # a shell without job control has it ignored in what it starts with `&`, and programs of tests would inherit that
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    if os.geteuid() != 0 or "MEMICOS_SYSTEM_DATA" in os.environ:
        return
    folder = tempfile.TemporaryDirectory(prefix="memicos-tests-")
    Path(folder.name).chmod(0o755)
    os.environ["MEMICOS_SYSTEM_DATA"] = folder.name
    config.add_cleanup(folder.cleanup)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    reasons: dict[str, str] = {}
    if not shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"):
        reasons["nginx"] = "no nginx is installed: apt-get install nginx-light"
    if os.geteuid() != 0:
        reasons["other_users"] = "only root can run programs as two other users"
        reasons["small_disk"] = "only root can mount a disk"
    for item in items:
        for fixture in reasons.keys() & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason=reasons[fixture]))  # noqa: TID251 (counted aloud; CI runs all)


def _skipped(config: pytest.Config) -> int:
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    return len(reporter.stats.get("skipped", ())) if reporter else 0


@pytest.hookimpl(trylast=True)
def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if exitstatus == pytest.ExitCode.OK and session.config.getoption("--no-skips") and _skipped(session.config):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    if count := _skipped(config):
        verdict = "which --no-skips forbids" if config.getoption("--no-skips") else "so they prove nothing here"
        terminalreporter.write_line(f"{count} TESTS WERE SKIPPED, {verdict}.", red=True, bold=True)
