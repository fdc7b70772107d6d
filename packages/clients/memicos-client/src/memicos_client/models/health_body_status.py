from typing import Literal

HealthBodyStatus = Literal["degraded", "healthy"]

HEALTH_BODY_STATUS_VALUES: set[HealthBodyStatus] = {
    "degraded",
    "healthy",
}


def check_health_body_status(value: str) -> HealthBodyStatus:
    if value in HEALTH_BODY_STATUS_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {HEALTH_BODY_STATUS_VALUES!r}")
