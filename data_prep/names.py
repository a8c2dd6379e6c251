"""What the name of a column of whole numbers says: that they are ids, or that they are quantities."""

import re


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ID_WORDS = _words(
    """id ids uid uuid guid key hash code zip zipcode postcode postal sku isbn asin ean ip mac
    user customer client member visitor account person item product article movie film song track book video game
    ad ads advert advertisement advertiser campaign creative banner adgroup keyword query term topic tag
    device model os browser platform carrier network language locale
    country region state province city town county district location place store shop airport origin dest destination
    category subcategory cat genre type kind class segment cluster group brand manufacturer vendor seller merchant
    publisher site domain app page channel source medium placement slot
    gender sex occupation profession status department dept author artist owner weekday"""
)
"""A name that ends in one of them, but for what is left of it, is one of ids."""
QUANTITY_WORDS = _words(
    """count counts cnt age ages price amount cost revenue spend spent salary income balance budget bid sum total avg
    average mean median min minimum max maximum rate ratio share score rating percent pct percentage
    size length width height depth weight area volume duration seconds minutes hours days weeks months years
    distance speed temperature quantity qty visits views clicks impressions sessions purchases orders
    frequency recency delay latency population latitude longitude lat lon lng altitude points
    tax fee discount kg km miles usd eur"""
)
"""A name that ends in one of them, or begins with one of `_COUNTING`, is one of quantities."""
_COUNTING = _words("num n nr no number count cnt total sum avg average mean min max days hours")
_NUMBERED = frozenset(("no", "nr", "number", "num"))
# They end in "id" and are numbers.
_NO_IDS = ("bid", "paid", "grid", "valid", "void", "humid", "rapid", "solid")
# What a name of an id may end in without a gap: itemid, countrycode.
_ENDINGS = ("id", "uuid", "code")
TIME_WORDS = frozenset(("time", "timestamp", "date", "datetime", "ts", "unixtime"))


def words_of(name: str) -> list[str]:
    """The words of a name, in small letters.

    >>> words_of("userID2"), words_of("zip-code"), words_of("HTTPStatus")
    (['user', 'id'], ['zip', 'code'], ['http', 'status'])
    """
    parted = re.sub(r"([a-z])([A-Z])|([A-Z])(?=[A-Z][a-z])", r"\1\3 \2", name)
    return [word for word in re.split(r"[\W\d_]+", parted.lower()) if word]


def said_by_name(name: str) -> str | None:
    """ "ids" or "quantities"; None: a name says nothing.

    >>> [said_by_name(name) for name in ("user_age", "ageGroup", "num_items", "flight_no", "itemid", "x7")]
    ['quantities', 'ids', 'quantities', 'ids', 'ids', None]
    """
    words = words_of(name)
    if not words:
        return None
    if len(words) > 1 and words[-1] in _NUMBERED:
        return "ids"
    if len(words) > 1 and words[0] in _COUNTING and words[-1] not in ("id", "code"):
        return "quantities"
    # The last word that says anything: the price of an item in dollars is no item.
    for word in reversed(words):
        if word in QUANTITY_WORDS or word.endswith(_NO_IDS):
            return "quantities"
        if word in ID_WORDS or word.endswith(_ENDINGS):
            return "ids"
    return None


def is_time_name(name: str) -> bool:
    """Whether a name is that of times.

    >>> is_time_name("event_time"), is_time_name("timeOut")
    (True, False)
    """
    return words_of(name)[-1:] in ([word] for word in TIME_WORDS)
