from typing import Literal

TemplateResponseTemplate = Literal["chatml", "model"]

TEMPLATE_RESPONSE_TEMPLATE_VALUES: set[TemplateResponseTemplate] = {
    "chatml",
    "model",
}


def check_template_response_template(value: str) -> TemplateResponseTemplate:
    if value in TEMPLATE_RESPONSE_TEMPLATE_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {TEMPLATE_RESPONSE_TEMPLATE_VALUES!r}")
