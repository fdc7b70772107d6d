"""Methods of scoring: what pages say of them."""

from dataclasses import dataclass

EMBEDDING = "eleuther_embedding"
OUTPUT_TEXTS, OUTPUT_TOKENS = "output_texts", "output_tokens"
OUTPUT_CLASSES = ("that the feature raises", "others")


@dataclass(frozen=True)
class ScoreMethod:
    """`statistic`: what the number is; `answer`: what the model answered of each text; `chance`: the score of an
    explanation that tells nothing; `of_output`: whether the texts are the model's output, not those of its corpus;
    `classes`: what the two classes of texts are."""

    name: str
    title: str
    description: str
    statistic: str
    answer: str
    chance: float = 0.5
    of_output: bool = False
    classes: tuple[str, str] = ("with the feature", "without")

    @property
    def is_binary(self) -> bool:
        """Whether the answer about a text is yes or no."""
        return self.statistic == "balanced accuracy"

    @property
    def asks_language_model(self) -> bool:
        return self.name != EMBEDDING and not self.of_output


_ALL = (
    ScoreMethod(
        EMBEDDING,
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
        "A language model sees the explanation and up to 20 numbered texts at once, and names those that contain what "
        "the explanation names.",
        "balanced accuracy",
        "Probability",
    ),
    ScoreMethod(
        "simulation",
        "Simulation",
        "A language model predicts the activation of each token from the explanation, after Bills et al. 2023. Where "
        "the provider sends log probabilities, the expected activation is a mean of the possible answers weighted by "
        "them. The score is the correlation with the true activations over the tokens of all texts; 0 is chance.",
        "correlation with the true activations",
        "Largest expected activation",
        chance=0.0,
    ),
    ScoreMethod(
        OUTPUT_TEXTS,
        "Steered texts",
        "Texts are generated with the feature added and without it. The score is the share of pairs of a steered and "
        "an unsteered text in which the steered one is nearer to the explanation, by their embeddings. It measures "
        "what the feature does to the output, not what it is active on, and needs no language model as judge.",
        "area under the ROC curve",
        "Similarity",
        of_output=True,
        classes=OUTPUT_CLASSES,
    ),
    ScoreMethod(
        OUTPUT_TOKENS,
        "Promoted tokens",
        "The tokens whose logits the feature raises most are compared with those that other features raise. The score "
        "is the share of pairs in which the feature’s own token is nearer to the explanation, by their embeddings. It "
        "needs no language model.",
        "area under the ROC curve",
        "Similarity",
        of_output=True,
        classes=OUTPUT_CLASSES,
    ),
)
METHODS = {method.name: method for method in _ALL}
