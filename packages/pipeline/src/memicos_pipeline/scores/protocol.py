"""What a score of a dataset's explanation is computed from. It is fixed before a run, and stored with the scores."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreProtocol:
    """Number and kind of the texts.

    Attributes:
        active: texts on which the feature is active, drawn evenly over strongest examples and intervals.
        inactive: texts in none of whose tokens the feature is active, from random contexts.
        around: tokens of a text on both sides of its middle; the middle of an active text is the example's position.
        pool_contexts: contexts that inactive texts are cut from. The model is run on them, so that the feature is
            known to be inactive there.
        seed: of the pool, of the choice of texts and of the bootstrap.
        near_misses: half of the inactive texts are examples of similar features (`sampling.near_miss_places`), as far
            as the feature is not active on them; the model is run on these too.
    """

    active: int = 10
    inactive: int = 10
    around: int = 16
    pool_contexts: int = 256
    seed: int = 0
    near_misses: bool = False
