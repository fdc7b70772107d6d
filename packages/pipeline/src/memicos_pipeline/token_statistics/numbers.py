"""Descriptions of features that are active on digits."""

from memicos_pipeline.token_statistics.facts import Facts
from memicos_pipeline.token_statistics.text import Text
from memicos_pipeline.token_statistics.wording import listed, quoted

DIGIT_SHARE, DIGIT_LISTED = 0.6, 0.15
"""One digit with at least DIGIT_SHARE of the weight is named alone; else up to three with DIGIT_LISTED each."""
PLACE_SHARE = 0.6
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def digit_head(facts: Facts, text: Text, label: str) -> str:
    """Describe digits of the class `label`: which ones, and their place in the number."""
    token, share = facts.tokens[0]
    digit = text.strings[token].strip()
    length, index = divmod(facts.digit_places[0][0], 64)
    placed = facts.digit_places[0][1] >= PLACE_SHARE
    what = []
    if share >= DIGIT_SHARE and digit.isdecimal():
        what.append(f"the digit '{digit}'" if len(digit) == 1 else quoted(digit))
    else:
        strings = [text.strings[t].strip() for t, part in facts.tokens[:3] if part >= DIGIT_LISTED]
        digits = [string for string in strings if string.isdecimal()]
        if digits:
            what.append(f"such as {listed([quoted(string) for string in digits])}")
    if placed and length == 1:
        what.append("single digits")
    elif placed and index < len(ORDINALS):
        what.append(f"the {ORDINALS[index] if index + 1 < length else 'last'} of {length} digits")
    # a digit alone is uninformative: two numbers that contain it are added
    examples = [
        quoted(text.forms[form])
        for form, _ in facts.forms[:4]
        if text.forms[form].isdecimal()
        and len(text.forms[form]) > 1
        and (share < DIGIT_SHARE or digit in text.forms[form])
    ]
    if examples:
        what.append(f"as in {listed(examples[:2])}")
    return f"{label}, {', '.join(what)}" if what else label
