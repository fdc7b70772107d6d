"""What the self-test has found, and which requests are refused for it.

The model's thread writes it, requests read it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from fastapi import Request
from memicos_engine.model.hub import ProgressCallback

from memicos_inference.http.errors import Unavailable
from memicos_inference.settings import Settings

if TYPE_CHECKING:  # imports torch
    from memicos_engine.selftest.checks import CheckLimits, CheckResult
    from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
    from memicos_engine.sources.source import Source

    from memicos_inference.loaded_model import LoadedModel

log = logging.getLogger(__name__)

State = Literal["waiting", "off", "passed", "failed"]
ENDPOINTS = {"activation": "/v1/activation", "generation": "/v1/steer"}
"""Beginning of the paths that need a part of the engine."""
SHARE = 0.95
"""Of the loading, when the self-test begins."""


class Verification:
    """`state` is "waiting" until the short form is over, "off" where it isn't run."""

    def __init__(self, settings: Settings) -> None:
        self.state: State = "waiting" if settings.selftest_seconds else "off"
        self.allowed = settings.allow_unverified
        self.seconds = 0.0
        self.checks: tuple[CheckResult, ...] = ()
        """In the order in which they were done. Replaced as a whole, so that readers need no lock."""
        self._settings = settings

    def run_short(self, served: LoadedModel, report: ProgressCallback) -> None:
        """What is checked as a server starts. Sources are checked when they are first used."""
        from memicos_engine.selftest import runner

        if self.state == "off":
            log.warning("no self-test is run: INFERENCE_SELFTEST_SECONDS is 0")
            return
        report("checking the numbers", SHARE)
        self._run(served, runner.short_limits(self._settings.selftest_seconds, self._settings.selftest_bytes))
        if self.failed and self.allowed:
            log.warning("what depends on that is answered all the same: ALLOW_UNVERIFIED is set")
        log.info("self-test %s after %.1f s", self.state, self.seconds)

    def run_full(self, served: LoadedModel, show: Callable[[CheckResult], None]) -> None:
        """Everything, all sources included; `show` gets each check as soon as it is done."""
        from memicos_engine.selftest import runner

        self._run(served, runner.FULL_LIMITS, show)
        for source_id in served.shelf.ids:
            load, recorded = partial(served.shelf.get, source_id), partial(self._recorded, served, source_id)
            check = runner.check_source(served.model, source_id, load, recorded)
            self._note(check)
            show(check)

    def check_source(self, served: LoadedModel, source: Source) -> None:
        """Compares a source with its record when it is first used.

        Raises:
            Unavailable: it gives other figures.
        """
        from memicos_engine.selftest import runner

        if self.state == "off":
            return
        if not any(check.source == source.id for check in self.checks):
            recorded = partial(self._recorded, served, source.id)
            self._note(runner.check_source(served.model, source.id, lambda: source, recorded))
        self._refuse(lambda check: check.source == source.id)

    def check_path(self, path: str) -> None:
        """Raises Unavailable where an endpoint depends on a check of the model that failed."""
        self._refuse(lambda check: path.startswith(endpoints(check)))

    @property
    def failed(self) -> list[CheckResult]:
        return [check for check in self.checks if check.passed is False]

    def _refuse(self, concerns: Callable[[CheckResult], bool]) -> None:
        found = [] if self.allowed else [check for check in self.failed if concerns(check)]
        if found:
            raise Unavailable(
                "unverified",
                f"The self-test found wrong numbers, so this is not answered: {'; '.join(map(in_words, found))}. "
                "ALLOW_UNVERIFIED=1 has it answered all the same.",
                60,
            )

    def _run(self, served: LoadedModel, extent: CheckLimits, show: Callable[[CheckResult], None] | None = None) -> None:
        from memicos_engine.selftest import runner

        began = time.monotonic()
        hook_names = [one.hook_name for one in served.shelf.infos()]
        for check in runner.check_model(served.model, hook_names, extent):
            self._note(check)
            if show:
                show(check)
        self.seconds = time.monotonic() - began
        self.state = "failed" if self.failed else "passed"

    def _note(self, check: CheckResult) -> None:
        self.checks = (*self.checks, check)
        if check.passed is False:
            self.state = "failed"
            log.error("self-test failed: %s", in_words(check))
        elif check.passed is None and check.source is None:
            log.warning("self-test: %s: %s", check.name, check.detail)

    def _recorded(self, served: LoadedModel, source_id: str) -> ReconstructionRecord | None:
        """What was recorded here, by `memicos sae add`; else what came with the source's files."""
        from memicos_engine.selftest.reconstruction_record import FILE_NAME, read_record, record_path

        found = read_record(record_path(self._settings.probes, served.weights, source_id), served.weights)
        folder = served.shelf.folder(source_id)
        return read_record(folder / FILE_NAME, served.weights) if found is None and folder else found


def endpoints(check: CheckResult) -> tuple[str, ...]:
    """Beginnings of the paths that depend on a check of the model; none for one of a source."""
    return () if check.source else tuple(ENDPOINTS[part] for part in check.affects)


def in_words(check: CheckResult) -> str:
    measured = "" if check.measured is None else f"{check.measured:.2g}, at most {check.tolerance:.0e} is right "
    return f"{check.name}: {measured}({check.detail})"


HEADING = f"{'':<7}{'check':<26}{'measured':>9}{'at most':>9}  what was compared"
"""Of the table that `line` makes."""


def line(check: CheckResult) -> str:
    verdict = {True: "ok", False: "FAILED", None: "-"}[check.passed]
    measured = "-" if check.measured is None else f"{check.measured:.1e}"
    return f"{verdict:<7}{check.name:<26}{measured:>9}{check.tolerance:>9.0e}  {check.detail}"


def verified(request: Request) -> None:
    """Dependency of every route that runs the model."""
    verification: Verification = request.app.state.verification
    verification.check_path(request.url.path)
