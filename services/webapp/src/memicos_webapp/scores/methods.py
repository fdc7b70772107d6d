"""Methods of scoring: what pages say of them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ScoreMethod:
    """`statistic`: what the number is; `answer`: what the model answered of each text."""

    name: str
    title: str
    description: str
    statistic: str
    answer: str


_ALL = (
    ScoreMethod(
        "eleuther_embedding",
        "Similarity of embeddings",
        "The explanation and texts are embedded. The score is the share of pairs of a text on which the feature is "
        "active and one on which it is not, in which the active one is nearer to the explanation. It needs no language "
        "model. It measures whether explanation and texts are about the same thing, and cannot see which token is "
        "active: explanations of form, such as punctuation, score low however right they are.",
        "area under the ROC curve",
        "Similarity",
    ),
    ScoreMethod(
        "eleuther_fuzz",
        "Fuzzing",
        "A language model sees the explanation and texts with marked tokens, and says for each whether the marked "
        "tokens fit the explanation. In texts on which the feature is not active, tokens are marked at random.",
        "balanced accuracy",
        "Probability",
    ),
    ScoreMethod(
        "eleuther_recall",
        "Detection",
        "A language model sees the explanation and texts, and says for each whether it contains what the explanation "
        "names.",
        "balanced accuracy",
        "Probability",
    ),
    ScoreMethod(
        "recall_alt",
        "Recall",
        "A language model sees the explanation and numbered texts, and names those that match.",
        "balanced accuracy",
        "Probability",
    ),
    ScoreMethod(
        "simulation",
        "Simulation",
        "A language model predicts the activation of each token from the explanation.",
        "correlation with the true activations",
        "Expected activation",
    ),
)
METHODS = {method.name: method for method in _ALL}
