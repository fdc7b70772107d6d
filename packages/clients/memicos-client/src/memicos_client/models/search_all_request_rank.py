from typing import Literal

SearchAllRequestRank = Literal["raw", "share"]

SEARCH_ALL_REQUEST_RANK_VALUES: set[SearchAllRequestRank] = {
    "raw",
    "share",
}


def check_search_all_request_rank(value: str) -> SearchAllRequestRank:
    if value in SEARCH_ALL_REQUEST_RANK_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SEARCH_ALL_REQUEST_RANK_VALUES!r}")
