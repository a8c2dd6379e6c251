"""Rows of the embedding tables of public click logs, by feature, as published (AutoCTR, NASRec)."""

_CRITEO = (
    1461, 584, 10131227, 2202609, 306, 25, 12518, 634, 4, 93146, 5684, 8351593, 3195,
    28, 14993, 5461307, 11, 5653, 2174, 5, 7046548, 19, 16, 286182, 106, 142573,
)  # fmt: skip

PUBLISHED_ROWS = {
    "criteo": {f"C{number}": rows for number, rows in enumerate(_CRITEO, start=1)},
    "avazu": {
        "id": 10000, "hour": 241, "C1": 8, "banner_pos": 8,
        "site_id": 4738, "site_domain": 7746, "site_category": 27,
        "app_id": 8553, "app_domain": 560, "app_category": 37,
        "device_id": 2686409, "device_ip": 6729487, "device_model": 8252, "device_type": 6, "device_conn_type": 5,
        "C14": 2627, "C15": 9, "C16": 10, "C17": 436, "C18": 5, "C19": 69, "C20": 173, "C21": 61,
    },
    "kdd": {
        "display_url": 26274, "ad": 641708, "advertiser": 14848, "query": 22122011, "keyword": 1188090,
        "title": 3735797, "description": 2934102, "user": 20004011, "gender": 4, "age": 8,
    },
}  # fmt: skip
"""By the recipe that prepares the log."""
