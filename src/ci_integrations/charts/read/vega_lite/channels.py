"""Reads the encoding channels of Vega-Lite marks: fields, axes with their default titles, and what makes groups."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ci_integrations.charts.read.plain import Json, as_list, as_map, as_text, at, plus, rank
from ci_integrations.charts.read.vega_lite.expressions import Unknown
from ci_integrations.charts.read.vega_lite.units import Bins, Key, Row, bin_of, bin_start, time_unit, unit_parts

SPLITS = ("color", "fill", "stroke", "shape", "strokeDash", "detail", "xOffset", "yOffset")
"""Channels whose values make series of their own."""
_DISCRETE = ("nominal", "ordinal")
_SCALES = {"nominal": "categorical", "ordinal": "categorical", "temporal": "datetime"}
_NO_BINS = (None, False, "binned")
_LAST = 10**6
"""Where a value stands in an order that does not name it."""


@dataclass
class Unit:
    """One mark with its rows and encoding."""

    mark: Json
    rows: list[Row]
    encoding: Json
    notes: tuple[str, ...] = ()
    second: str = ""
    """"x2" or "y2" when the mark stands on a second axis of its own."""

    def has(self, *names: str) -> bool:
        """True when one of these channels is encoded."""
        return not self.encoding.keys().isdisjoint(names)

    def channel(self, name: str) -> Json:
        """Returns a channel's definition, empty when there is none."""
        found = self.encoding.get(name)
        found = as_map((found[0] if found else None) if isinstance(found, list) else found)
        when = found.get("condition")
        if isinstance(when, dict) and "param" in when and "field" in when and when.get("empty") is not False:
            return when  # nobody has selected anything: every mark is "selected"
        return found

    def stands_on(self, name: str) -> bool:
        """True for an axis of the mark; without a second axis of its own it stands on the first one."""
        return self.second == name if name[1:] else self.second[:1] != name

    def is_measured(self, name: str) -> bool:
        """True when a channel holds amounts."""
        return self.channel(name).get("type") == "quantitative"

    def discrete(self, which: str) -> bool:
        """True when a channel holds categories."""
        return self.channel(which).get("type") in _DISCRETE

    def bins(self, name: str) -> Bins | None:
        """Returns the bins that Vega-Lite makes of a channel's field; None for no bins and for ready-made ones."""
        channel = self.channel(name)
        told = channel.get("bin")
        return bin_of(self.rows, str(channel["field"]), told) if told not in _NO_BINS and "field" in channel else None

    @property
    def horizontal(self) -> bool:
        """True when the values are in x and the places in y."""
        x, y = (self.is_measured(which) and not self.channel(which).get("bin") for which in "xy")
        return x and not y

    @property
    def is_map(self) -> bool:
        """True for marks that stand on longitudes and latitudes."""
        return self.has("longitude", "latitude")

    @property
    def splits(self) -> list[str]:
        """The channels that make groups."""
        return [name for name in SPLITS if self.has(name) and self._makes_groups(self.channel(name))]

    def _makes_groups(self, channel: Json) -> bool:
        """Discrete channels make groups; a condition or a value does not, nor does a colour that repeats x or y. A
        datum is a legend entry of its own.
        """
        if isinstance(channel.get("datum"), str):
            return True
        if "field" not in channel or channel.get("type") in ("quantitative", "temporal"):
            return False
        places = [self.channel(which) for which in "xy" if self.discrete(which)]
        # The same field makes groups when it shows another part of a date.
        parts = [(place.get("field"), place.get("timeUnit")) for place in places]
        return (channel["field"], channel.get("timeUnit")) not in parts


def title_of(value: object) -> str | None:
    """Returns a title as text: Vega-Lite allows a string, a list of lines, or `{"text"}`."""
    if isinstance(value, dict):
        value = value.get("text")
    return as_text(" ".join(map(str, value)) if isinstance(value, list) else value)


def series_name(key: Key) -> str | None:
    """Returns the name of the group with these values."""
    return " / ".join(dict.fromkeys(str(value) for value in key if value is not None)) or None


def ordered(keys: Iterable[Key], channels: list[Json]) -> list[Key]:
    """Returns group keys as Vega-Lite orders them: by `sort` when it is a list, ascending otherwise."""
    orders = [as_list(channel.get("sort")) or as_list(at(channel, "scale", "domain")) for channel in channels]

    def places(key: Key) -> list[tuple[int, tuple[int, float, str]]]:
        pairs = zip(key, orders, strict=True)
        return [(order.index(value) if value in order else _LAST, rank(value)) for value, order in pairs]

    return sorted(keys, key=places)


def value_of(row: Row, channel: Json, bins: Bins | None) -> object:
    """Returns what a channel shows of a row: a constant, a bin's middle, a date cut short, a label or the field."""
    if "datum" in channel or "value" in channel:
        return channel.get("datum", channel.get("value"))
    value = _field(row, channel.get("field"))
    discrete = channel.get("type") in _DISCRETE
    if bins is not None:
        return plus(bin_start(value, bins), bins[2] / 2)
    if channel.get("timeUnit"):
        return time_unit(value, channel["timeUnit"], words=discrete)
    return _category(value) if discrete and value is not None else value


def _field(row: Row, name: object) -> object:
    """The value of a field, whose dots and brackets are escaped in its name: Vega reads them as paths."""
    return None if name is None else row.get(str(name), row.get(str(name).replace("\\", "")))


def _category(value: object) -> str:
    """A value as the word that a discrete scale has for it."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def axis_of(units: list[Unit], which: str) -> Json:
    """Returns the axis that these units share, as the schema has it."""
    # A mark may have the second end of a span alone.
    channels = _encoded(units, which) or _encoded(units, f"{which}2")
    if not channels:
        return {"label": None, "scale": "linear"}
    hidden = None in [channel.get("axis", ()) for channel in channels]
    titles = dict.fromkeys(filter(None, map(channel_title, channels)))
    first = next((channel for channel in channels if "type" in channel), channels[0])
    scale = _scale(first)
    found: Json = {"label": None if hidden else ", ".join(titles) or None, "scale": scale}
    domain, reverse = at(first, "scale", "domain"), at(first, "scale", "reverse")
    words = scale == "categorical"
    if isinstance(domain, list):
        found["categories" if words else "limits"] = domain
    down = words and which == "y"  # Vega-Lite writes its first category at the top
    if (reverse is True) != down:
        found["inverted"] = True
    return found


def _encoded(units: list[Unit], name: str) -> list[Json]:
    """The definitions of a channel by the units that have it."""
    return [unit.channel(name) for unit in units if unit.has(name)]


def _scale(channel: Json) -> str:
    """The scale of a channel by its own word, or by the type of its field."""
    named, kind = str(at(channel, "scale", "type")), str(channel.get("type", "quantitative"))
    if named in ("log", "symlog", "linear"):
        return named
    if channel.get("bin") and kind != "ordinal":
        return "linear"
    return _SCALES.get(kind, "linear")


def channel_title(channel: Json) -> str | None:
    """Returns the axis title: the given one, or the one that Vega-Lite makes."""
    # A title that is null hides the default one, so being there is what counts.
    for holder in (channel.get("axis"), channel, channel.get("legend"), channel.get("header")):
        if isinstance(holder, dict) and "title" in holder:
            return title_of(holder["title"])
    name, op = channel.get("field"), channel.get("aggregate")
    if op == "count":
        return "Count of Records"
    if name is None:
        return None
    if isinstance(op, str):
        return f"{op[0].upper()}{op[1:]} of {name}"
    return f"{name} (binned)" if channel.get("bin") else _dated_title(channel, str(name))


def _dated_title(channel: Json, name: str) -> str:
    """A field's name, with the parts of a date that are shown; a unit that is not known is left out."""
    try:
        return f"{name} ({'-'.join(unit_parts(channel['timeUnit']))})" if channel.get("timeUnit") else name
    except Unknown:
        return name
