from typing import Literal

SearchAllResultRank = Literal["raw", "share"]

SEARCH_ALL_RESULT_RANK_VALUES: set[SearchAllResultRank] = {
    "raw",
    "share",
}


def check_search_all_result_rank(value: str) -> SearchAllResultRank:
    if value in SEARCH_ALL_RESULT_RANK_VALUES:
        return value
    raise TypeError(f"Unexpected value {value!r}. Expected one of {SEARCH_ALL_RESULT_RANK_VALUES!r}")
