"""Descriptions of features that fire on digits."""

from memicos_pipeline.token_statistics.facts import Facts
from memicos_pipeline.token_statistics.text import Text
from memicos_pipeline.token_statistics.wording import listed, quoted

DIGIT_SHARE, DIGIT_LISTED = 0.6, 0.15
"""One digit with so much of the weight is named alone, up to three that have so much each are listed."""
PLACE_SHARE = 0.6
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")


def digit_head(facts: Facts, text: Text, label: str) -> str:
    """The class of number `label`, which digits, and where in the number they stand."""
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
            what.append(f"such as {listed([quoted(one) for one in digits])}")
    if placed and length == 1:
        what.append("single digits")
    elif placed and index < len(ORDINALS):
        what.append(f"the {ORDINALS[index] if index + 1 < length else 'last'} of {length} digits")
    # two spellings that it fires in show what a digit alone does not
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
