"""A fault that occurs again and again is one line a minute."""

import logging

import pytest
from asgi_correlation_id import correlation_id
from memicos_service.logs import repeated_faults
from memicos_service.logs.repeated_faults import RepeatedFaults


class Log:
    """The lines that pass the filter, at a time that the test sets."""

    def __init__(self) -> None:
        self.now = 0.0
        self.records: list[logging.LogRecord] = []
        self._filter = RepeatedFaults(lambda: self.now)

    def add(
        self, message: str, level: int = logging.ERROR, logger: str = "asyncio", error: Exception | None = None
    ) -> None:
        exc_info = (type(error), error, None) if error else None
        record = logging.LogRecord(logger, level, "file", 1, message, None, exc_info)
        if self._filter.filter(record):
            self.records.append(record)

    def lines(self) -> list[tuple[str, int]]:
        return [(record.getMessage(), getattr(record, "repeats", 0)) for record in self.records]


@pytest.fixture
def log() -> Log:
    return Log()


def test_one_line_a_minute_with_the_number_of_repeats(log: Log) -> None:
    for second in range(150):
        log.now = float(second)
        log.add(f"socket.accept() out of system resource\nsocket: {second}", error=OSError(24, "files"))
    assert [repeats for _, repeats in log.lines()] == [0, 59, 59]


def test_faults_that_differ_are_kept(log: Log) -> None:
    log.add("a")
    log.add("b")
    log.add("a", logger="other")
    log.add("a", error=ValueError())
    log.add("a", error=KeyError())
    assert len(log.records) == 5


def test_informations_are_kept(log: Log) -> None:
    for _ in range(3):
        log.add("a", logging.INFO)
    assert len(log.records) == 3


def test_lines_of_requests_are_kept(log: Log) -> None:
    """The response of a failed request names an id that the log must have."""
    token = correlation_id.set("one")
    for _ in range(3):
        log.add("a")
    correlation_id.reset(token)
    assert len(log.records) == 3


def test_memory_is_bounded(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeated_faults, "MAX_FAULTS", 3)
    for number in (0, 1, 2, 3, 3, 2, 0):
        log.add(str(number))
    assert [message for message, _ in log.lines()] == ["0", "1", "2", "3", "0"]
