"""Writes time zones and frequencies as JSON and reads them back: zoneinfo, pytz, dateutil and fixed offsets."""

from __future__ import annotations

import datetime as dt
import re
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

import pandas as pd

from .container import MalformedError
from .notes import Notes

# No way out of the folder of time zones: dateutil opens whatever file it is told to.
_ZONE = re.compile(r"[A-Za-z0-9_+-]+(?:/[A-Za-z0-9_+-]+){0,3}")
_FREQUENCY = re.compile(r"[-A-Za-z0-9_. ]{1,60}")

Json = Any
"""What the json module makes and takes."""


def zone_json(zone: dt.tzinfo | None, notes: Notes) -> Json:
    """Returns a time zone as JSON; None for none."""
    if zone is None:
        return None
    library = type(zone).__module__.partition(".")[0]
    name = _name_of(zone, library)
    if _ZONE.fullmatch(name):
        return {"zone": name, "library": library}
    offset = zone.utcoffset(None)
    if offset is None:
        notes.say(f"time zone {zone!r} arrives as UTC")
        return {"zone": "UTC", "library": "zoneinfo"}
    named = zone.tzname(None) if type(zone) is dt.timezone else None
    unnamed = type(zone) is dt.timezone and named == dt.timezone(offset).tzname(None)
    seconds = offset // dt.timedelta(microseconds=1)
    return {"offset": seconds, "library": library, "name": None if unnamed else named}


def _name_of(zone: dt.tzinfo, library: str) -> str:
    """Returns a time zone's name; "" when it has none."""
    if library == "dateutil":
        # dateutil keeps the path of the zone's file, in which the name is the end.
        return str(getattr(zone, "_filename", "") or "").partition("zoneinfo/")[2]
    return str(getattr(zone, "key", None) or getattr(zone, "zone", None) or "")


def zone_from(given: Json, notes: Notes) -> dt.tzinfo | None:
    """Returns the time zone that `zone_json` wrote; one of a library that is not here is zoneinfo's."""
    if given is None:
        return None
    library = given.get("library")
    if "offset" in given:
        return _offset_from(given, library, notes)
    name = given.get("zone")
    if not isinstance(name, str) or not _ZONE.fullmatch(name):
        raise MalformedError("no name of a time zone")
    if library == "pytz" and (pytz := _module("pytz", notes)) is not None:
        return pytz.timezone(name)  # type: ignore[no-any-return]
    if library == "dateutil":
        return import_module("dateutil.tz").gettz(name) or ZoneInfo(name)
    return ZoneInfo(name)


def _offset_from(given: Json, library: Json, notes: Notes) -> dt.tzinfo:
    """Returns the time zone of a fixed offset from UTC."""
    offset = dt.timedelta(microseconds=int(given["offset"]))
    if library == "pytz" and (pytz := _module("pytz", notes)) is not None:
        return pytz.FixedOffset(int(offset.total_seconds() // 60))  # type: ignore[no-any-return]
    if library == "dateutil":
        return import_module("dateutil.tz").tzoffset(None, offset)  # type: ignore[no-any-return]
    name = given.get("name")
    return dt.timezone(offset, name) if isinstance(name, str) else dt.timezone(offset)


def _module(name: str, notes: Notes) -> Any:
    try:
        return import_module(name)
    except ImportError:
        notes.say(f"time zone of {name} arrives as one of zoneinfo")
        return None


def frequency_json(frequency: Any, notes: Notes) -> str | None:
    """Returns the name of an index's frequency; None, and a note, for one that has no name."""
    if frequency is None:
        return None
    try:
        name = str(frequency.freqstr)
        if _FREQUENCY.fullmatch(name) and pd.tseries.frequencies.to_offset(name) == frequency:
            return name
    except (ValueError, TypeError, AttributeError):
        pass
    notes.say(f"frequency {frequency!r} of the index is left out")
    return None


def frequency_from(name: object) -> Any:
    """Returns the frequency of that name."""
    if not isinstance(name, str) or not _FREQUENCY.fullmatch(name):
        raise MalformedError("no name of a frequency")
    return pd.tseries.frequencies.to_offset(name)


def period_frequency(name: object) -> str:
    """Returns the name of a period's frequency, which pandas reads. Raises `MalformedError` for what is none."""
    if not isinstance(name, str) or not _FREQUENCY.fullmatch(name):
        raise MalformedError("no name of a frequency")
    return name
