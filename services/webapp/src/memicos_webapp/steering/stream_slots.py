"""The number of steering requests in progress, in all and for each visitor."""

from collections import Counter
from dataclasses import dataclass, field

from memicos_webapp.errors import TooManyRequests, Unavailable
from memicos_webapp.settings import Settings

RETRY_SECONDS = 5


@dataclass(eq=False)
class Slot:
    """A steering request in progress; `free` ends it, once."""

    visitor: str
    slots: "StreamSlots"
    freed: bool = False

    def free(self) -> None:
        if not self.freed:
            self.freed = True
            self.slots.remove(self.visitor)


@dataclass
class StreamSlots:
    """Steering requests in progress by visitor."""

    settings: Settings
    in_progress: Counter[str] = field(default_factory=Counter)

    def take(self, visitor: str) -> Slot:
        """A slot for a request of `visitor`.

        Raises:
            TooManyRequests: the visitor has as many requests in progress as one may have.
            Unavailable: all visitors together have.
        """
        per_visitor, in_all = self.settings.streams_per_visitor, self.settings.streams
        if self.in_progress[visitor] >= per_visitor:
            raise TooManyRequests(
                f"{per_visitor} of your steering requests are in progress, the most that may be "
                "(MEMICOS_STREAMS_PER_VISITOR). Wait until one has ended, or close one.",
                RETRY_SECONDS,
            )
        if self.in_progress.total() >= in_all:
            raise Unavailable(
                f"{in_all} steering requests are in progress, the most that may be (MEMICOS_STREAMS); try again in a "
                "moment.",
                RETRY_SECONDS,
            )
        self.in_progress[visitor] += 1
        return Slot(visitor, self)

    def remove(self, visitor: str) -> None:
        self.in_progress[visitor] -= 1
        if not self.in_progress[visitor]:
            del self.in_progress[visitor]
