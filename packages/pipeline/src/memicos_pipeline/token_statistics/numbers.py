"""Descriptions of features that are active on digits."""

from memicos_pipeline.token_statistics.feature_shares import FeatureShares
from memicos_pipeline.token_statistics.text import Text
from memicos_pipeline.token_statistics.wording import join_words, quoted

DIGIT_SHARE, DIGIT_LISTED = 0.6, 0.15
"""One digit with at least DIGIT_SHARE of the weight is named alone; else up to three with DIGIT_LISTED each."""
DIGIT_PLACE_SHARE = 0.6
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def digit_head(feature: FeatureShares, text: Text, label: str) -> str:
    """Describe digits of the class `label`: which ones, and their place in the number."""
    token, share = feature.tokens[0]
    digit = text.strings[token].strip()
    length, index = divmod(feature.digit_places[0][0], 64)
    has_common_place = feature.digit_places[0][1] >= DIGIT_PLACE_SHARE
    parts = []
    if share >= DIGIT_SHARE and digit.isdecimal():
        parts.append(f"the digit '{digit}'" if len(digit) == 1 else quoted(digit))
    else:
        strings = [text.strings[t].strip() for t, part in feature.tokens[:3] if part >= DIGIT_LISTED]
        digits = [string for string in strings if string.isdecimal()]
        if digits:
            parts.append(f"such as {join_words([quoted(string) for string in digits])}")
    if has_common_place and length == 1:
        parts.append("single digits")
    elif has_common_place and index < len(ORDINALS):
        parts.append(f"the {ORDINALS[index] if index + 1 < length else 'last'} of {length} digits")
    # a digit alone is uninformative: two numbers that contain it are added
    examples = [
        quoted(text.forms[form])
        for form, _ in feature.forms[:4]
        if text.forms[form].isdecimal()
        and len(text.forms[form]) > 1
        and (share < DIGIT_SHARE or digit in text.forms[form])
    ]
    if examples:
        parts.append(f"as in {join_words(examples[:2])}")
    return f"{label}, {', '.join(parts)}" if parts else label
