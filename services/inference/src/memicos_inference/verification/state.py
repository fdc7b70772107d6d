"""Results of the self-test, and refusal of requests that depend on a failed check.

The model's thread writes the results; handlers of requests read them.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from memicos_engine.model.hub import ProgressCallback

import memicos_inference
from memicos_inference.http.errors import Unavailable
from memicos_inference.settings import Settings
from memicos_inference.verification.table import describe_check

if TYPE_CHECKING:  # imports torch
    from memicos_engine.selftest.checks import CheckLimits, CheckResult
    from memicos_engine.selftest.reconstruction_record import ReconstructionRecord
    from memicos_engine.selftest.result_cache import ResultCache
    from memicos_engine.sources.source import Source

    from memicos_inference.loaded_model import LoadedModel

log = logging.getLogger(__name__)

State = Literal["waiting", "off", "passed", "failed"]
ENDPOINTS = {"activation": "/v1/activation", "generation": "/v1/steer"}
"""Path prefixes by the capability of the engine that they need."""
PROGRESS_FRACTION = 0.95
"""Fraction of the loading that is done when the self-test begins."""


class Verification:
    """Checks of the model and its sources. `state` is "waiting" until the short self-test ends, "off" if none runs."""

    def __init__(self, settings: Settings) -> None:
        self.state: State = "waiting" if settings.selftest_seconds else "off"
        self.allowed = settings.allow_unverified
        self.seconds = 0.0
        self.checks: tuple[CheckResult, ...] = ()
        """In the order in which they were done. Replaced as a whole, so that readers need no lock."""
        self.unverified_beyond: int | None = None
        """Tokens of the longest text whose values are verified; None: all that are served, or the model is loading."""
        self._settings = settings
        self.storing: threading.Thread | None = None
        """Stores the results for the next start."""
        self._results: ResultCache | None = None
        self._left_out: list[str] = []
        """Names of the checks that the time limit of the start left out, and that were not run since."""

    def run_short(self, loaded: LoadedModel, report: ProgressCallback) -> None:
        """The checks of the model at the start. Sources are checked when they are first used."""
        from memicos_engine.selftest import runner
        from memicos_engine.selftest.result_cache import ResultCache

        if self.state == "off":
            log.warning("no self-test is run: INFERENCE_SELFTEST_SECONDS is 0")
            self._find_unverified_lengths(loaded)
            return
        report("running the self-test", PROGRESS_FRACTION)
        limits = self._short_limits(loaded)
        results = self._results = ResultCache(
            self._settings.selftest_results,
            loaded.model,
            _hook_names(loaded),
            limits,
            [Path(memicos_inference.__file__).parent],
        )
        began = time.monotonic()
        self._run(loaded, limits, remembered=self._remembered(loaded, results, limits))
        self.seconds = time.monotonic() - began
        self._left_out = [check.name for check in self.checks if runner.is_over_time(check)]
        self._remember(results)
        if self.failed and self.allowed:
            log.warning("requests that depend on a failed check are answered: ALLOW_UNVERIFIED is set")
        remembered = sum(check.measured_at is not None for check in self.checks)
        note = f", {remembered} of {len(self.checks)} checks remembered" if remembered else ""
        log.info("self-test %s after %.1f s%s", self.state, self.seconds, note)

    def run_left_out(self, loaded: LoadedModel) -> bool:
        """Run one of the checks that the time limit of the start left out; return whether there are more.

        In the model's thread, while no request is waiting. After the last one the results are stored.
        """
        from memicos_engine.selftest import runner

        if self._left_out:
            name = self._left_out.pop(0)
            check = runner.check_again(loaded.model, _hook_names(loaded), self._short_limits(loaded), name)
            self.checks = tuple(
                check if (old.name, old.source) == (name, None) else old  # keeps the order of the checks
                for old in self.checks
            )
            self._report_check(check)
            if not self._left_out and self._results is not None:
                self._remember(self._results)
                log.info("self-test %s, with the checks that its time limit had left out", self.state)
        return bool(self._left_out)

    def _short_limits(self, loaded: LoadedModel) -> CheckLimits:
        from memicos_engine.selftest import runner

        settings = self._settings
        return runner.short_limits(settings.selftest_seconds, settings.selftest_bytes, loaded.longest_text)

    def _find_unverified_lengths(self, loaded: LoadedModel) -> None:
        """Set `unverified_beyond` from the checks so far."""
        from memicos_engine.selftest import runner

        self.unverified_beyond = runner.unverified_beyond(loaded.model, loaded.longest_text, self.checks)
        if self.unverified_beyond is not None:
            log.warning("values of texts of more than %d tokens are not verified", self.unverified_beyond)

    def run_full(self, loaded: LoadedModel, show: Callable[[CheckResult], None]) -> None:
        """Run every check of the model and of all sources; `show` is called with each result."""
        from memicos_engine.selftest import runner

        self._run(loaded, replace(runner.FULL_LIMITS, longest_text=loaded.longest_text), show)
        for source_id in loaded.source_cache.ids:
            load, recorded = partial(loaded.source_cache.get, source_id), partial(self._recorded, loaded, source_id)
            check = runner.check_source(loaded.model, source_id, load, recorded)
            self._add(check)
            show(check)

    def check_source_steps(self, loaded: LoadedModel, source: Source) -> Generator[None, None, None]:
        """Compare a source with its record when it is first used; yields so that other work can run in between."""
        from memicos_engine.selftest import runner

        if self.state == "off" or any(check.source == source.id for check in self.checks):
            return
        recorded = partial(self._recorded, loaded, source.id)
        self._add((yield from runner.source_check_steps(loaded.model, source.id, lambda: source, recorded)))

    def require_source(self, source_id: str) -> None:
        """Raises Unavailable where the check of the source failed."""
        self._refuse(lambda check: check.source == source_id)

    def forget_source(self, source_id: str) -> None:
        """Discard the check of a source that was removed: another source may get its id."""
        self.checks = tuple(check for check in self.checks if check.source != source_id)
        if self.state in ("passed", "failed"):
            self.state = "failed" if self.failed else "passed"

    def require_path(self, path: str) -> None:
        """Raises Unavailable where the endpoint depends on a check of the model that failed."""
        self._refuse(lambda check: path.startswith(affected_paths(check)))

    @property
    def failed(self) -> list[CheckResult]:
        return [check for check in self.checks if check.passed is False]

    def _refuse(self, concerns: Callable[[CheckResult], bool]) -> None:
        failed = [] if self.allowed else [check for check in self.failed if concerns(check)]
        if failed:
            raise Unavailable(
                "unverified",
                f"A self-test check failed, so this request is refused: {'; '.join(map(describe_check, failed))}."
                " Set ALLOW_UNVERIFIED=1 to answer it anyway.",
                60,
            )

    def _remembered(self, loaded: LoadedModel, results: ResultCache, limits: CheckLimits) -> dict[str, CheckResult]:
        """Results of an earlier start that are valid, if the cheap part of the checks confirms them now."""
        from memicos_engine.selftest import runner

        remembered = results.load()
        if not remembered:
            return {}
        doubtful = [check for check in runner.check_model_quickly(loaded.model, limits) if check.passed is False]
        if doubtful:
            log.warning("the stored self-test results are not used: %s", "; ".join(map(describe_check, doubtful)))
            self._forget(results)
            return {}
        return remembered

    def _forget(self, results: ResultCache) -> None:
        try:
            results.forget()
        except OSError as error:
            log.warning("the remembered self-test cannot be deleted: %s", error)

    def _remember(self, results: ResultCache) -> None:
        """Store what passed, in a thread: weights that are new are hashed. A failed self-test is not remembered."""
        if self.failed:
            self._forget(results)
            return
        new = any(check.passed and check.measured_at is None for check in self.checks)
        if not new:
            return
        checks = self.checks

        def store() -> None:
            try:
                results.store(checks)
            except OSError as error:
                log.warning("the self-test results cannot be stored: %s", error)

        self.storing = threading.Thread(target=store, name="selftest results", daemon=True)
        self.storing.start()

    def _run(
        self,
        loaded: LoadedModel,
        limits: CheckLimits,
        show: Callable[[CheckResult], None] | None = None,
        remembered: Mapping[str, CheckResult] = MappingProxyType({}),
    ) -> None:
        from memicos_engine.selftest import runner

        began = time.monotonic()
        for check in runner.check_model(loaded.model, _hook_names(loaded), limits, remembered):
            self._add(check)
            if show:
                show(check)
        self.seconds = time.monotonic() - began
        self.state = "failed" if self.failed else "passed"
        self._find_unverified_lengths(loaded)

    def _add(self, check: CheckResult) -> None:
        self.checks = (*self.checks, check)
        self._report_check(check)

    def _report_check(self, check: CheckResult) -> None:
        """Log a check that failed or compared nothing; a failed one makes the state "failed"."""
        if check.passed is False:
            self.state = "failed"
            log.error("self-test failed: %s", describe_check(check))
        elif check.passed is None and check.source is None:
            log.warning("self-test: %s: %s", check.name, check.detail)

    def _recorded(self, loaded: LoadedModel, source_id: str) -> ReconstructionRecord | None:
        """The record written here by `memicos sae add`; else the one beside the source's weights."""
        from memicos_engine.selftest.reconstruction_record import FILE_NAME, read_record, record_path

        record = read_record(record_path(self._settings.probes, loaded.weights, source_id), loaded.weights)
        folder = loaded.source_cache.folder(source_id)
        return read_record(folder / FILE_NAME, loaded.weights) if record is None and folder else record


def _hook_names(loaded: LoadedModel) -> list[str]:
    return [info.hook_name for info in loaded.source_cache.infos()]


def affected_paths(check: CheckResult) -> tuple[str, ...]:
    """Prefixes of the paths that depend on a check of the model; none for a check of a source."""
    return () if check.source else tuple(ENDPOINTS[capability] for capability in check.affects)
