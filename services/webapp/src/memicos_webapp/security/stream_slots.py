"""The number of requests of one kind that are in progress, in all and of each visitor."""

from collections import Counter
from dataclasses import dataclass, field

from memicos_webapp.errors import TooManyRequests, Unavailable

RETRY_SECONDS = 5


@dataclass(eq=False)
class Slot:
    """A request in progress; `free` ends it, once."""

    visitor: str
    slots: "StreamSlots"
    freed: bool = False

    def free(self) -> None:
        if not self.freed:
            self.freed = True
            self.slots.remove(self.visitor)


@dataclass(frozen=True)
class Limit:
    """A number, and the environment variable that sets it."""

    number: int
    variable: str


@dataclass
class StreamSlots:
    """Requests in progress by visitor; `what` names them in messages, as in "steering requests"."""

    what: str
    per_visitor: Limit
    in_all: Limit
    in_progress: Counter[str] = field(default_factory=Counter)

    def take(self, visitor: str) -> Slot:
        """A slot for a request of `visitor`.

        Raises:
            TooManyRequests: the visitor has as many requests in progress as one may have.
            Unavailable: all visitors together have.
        """
        per_visitor, in_all = self.per_visitor, self.in_all
        if self.in_progress[visitor] >= per_visitor.number:
            raise TooManyRequests(
                f"{per_visitor.number} of your {self.what} are in progress, the most that may be "
                f"({per_visitor.variable}). Wait until one has ended, or close one.",
                RETRY_SECONDS,
            )
        if self.in_progress.total() >= in_all.number:
            raise Unavailable(
                f"{in_all.number} {self.what} are in progress, the most that may be ({in_all.variable}); try again in "
                "a moment.",
                RETRY_SECONDS,
            )
        self.in_progress[visitor] += 1
        return Slot(visitor, self)

    def remove(self, visitor: str) -> None:
        self.in_progress[visitor] -= 1
        if not self.in_progress[visitor]:
            del self.in_progress[visitor]
