"""What the demo's scripted model says: the turns of an analyst who looks, draws, errs, repairs and concludes.

The turns are prepared from the file's columns. The conclusion uses what the sandbox answered, as a model would.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence
from importlib.resources import files
from typing import NamedTuple, TypeGuard

from ci_integrations.cli.demo.profile import Column, Profile

Row = Sequence[object]
_STATISTICS = "rows.agg(['count', 'mean', 'std', 'min', 'max']).round(1)"


_CELLS: dict[str, dict[str, str]] = tomllib.loads(
    (files("ci_integrations.cli.demo") / "script.toml").read_text(encoding="utf-8")
)
"""Text, code and title of each turn by its name, with places for the columns."""


class Step(NamedTuple):
    """One turn: a sentence and the code that follows it."""

    text: str
    code: str


def steps(profile: Profile, name: str) -> list[Step]:
    """Returns the turns for the file that lies in the sandbox as `name`."""
    return [_look(profile, name), _first_chart(profile), *_mistake_and_second_chart(profile), _summary(profile)]


def task(name: str) -> str:
    """Returns what a real model is asked to do. The scripted one is asked the same."""
    return (
        f"Analyse the CSV file {name}. First load and describe it, missing values too. Then draw two different charts "
        "with matplotlib, each with a title and axis labels, one per call. Write a summary table to summary.csv. "
        "Finish with a conclusion of three sentences that quotes the numbers you saw."
    )


def _step(cell: str, **values: object) -> Step:
    """Returns a turn of `script.toml` with `values` in its places; `{title}` is its own title, filled likewise."""
    text, code, title = (_CELLS[cell].get(part, "").format_map for part in ("text", "code", "title"))
    return Step(text(values), code(values | {"title": _sentence(title(values))}).strip())


def _look(profile: Profile, name: str) -> Step:
    """Returns the first cell: it loads the file and describes it."""
    # As a person would write it: `sep` only where it is needed.
    separator = "" if profile.delimiter == "," else f", sep={profile.delimiter!r}"
    overview = '.T[["count", "mean", "std", "min", "max"]].round(1)' if profile.measures else ""
    return _step("look", name=name, separator=separator, overview=overview)


def _measure(profile: Profile) -> Column | None:
    """Returns the column whose mean is compared: the second of the pair, which the second chart draws upwards."""
    return profile.pair[1] if profile.pair else next(iter(profile.measures), None)


def _first_chart(profile: Profile) -> Step:
    """Returns means by category where the file has both, otherwise how one column is spread."""
    measure, categories = _measure(profile), profile.categories
    if measure and categories:
        return _means(measure, categories[0], profile.crossed(categories[0]))
    if measure:
        return _step("histogram", order="First", measure=measure)
    return _step("counts", order="First", column=(categories or profile.columns)[0])


def _means(measure: Column, category: Column, split: Column | None) -> Step:
    told, grouping, unstack = category.label, repr(category.name), ""
    if split:
        told, grouping = f"{told} and {split.label}", repr([category.name, split.name])
        unstack = ".unstack()"
    turned = 0 if category.groups <= 6 else 45
    return _step(
        "means", measure=measure, category=category, told=told, grouping=grouping, unstack=unstack, turned=turned
    )


def _mistake_and_second_chart(profile: Profile) -> list[Step]:
    """Returns the same picture twice: with a column name remembered wrongly, then as the file spells it.

    It shows what happens to an error: the model sees it and mends its code.
    """
    good, column = _second_chart(profile)
    wrong = _misremembered(column.name, {other.name for other in profile.columns})
    # With its quotes, so that the same word in a title stays as it is.
    slip = good.code.replace(repr(column.name), repr(wrong))
    repair = f"There is no column {wrong!r}; the file calls it {column.name!r}. Once more with the right name."
    return [Step(good.text, slip), Step(repair, good.code)]


def _misremembered(name: str, taken: set[str]) -> str:
    """Returns a name that no column has: `flipper_length_mm` becomes `flipper_length`."""
    shorter = re.sub(r"[_\s][^_\s]+$", "", name)
    candidates = (shorter, f"{name}s", f"{name}_value", f"{name}__")
    return next(wrong for wrong in candidates if wrong and wrong not in taken)


def _second_chart(profile: Profile) -> tuple[Step, Column]:
    """Returns the chart that says most after the first one, and the column in it whose name is remembered wrongly."""
    if profile.pair:
        return _scatter(*profile.pair, next(iter(profile.categories), None)), profile.pair[0]
    if profile.measures:
        # A line over the rows is for files with one measure and no category, such as a log.
        cell, measure = "histogram" if profile.categories else "course", profile.measures[0]
        return _step(cell, order="Second", measure=measure), measure
    column = (profile.categories[1:] or profile.columns[1:] or profile.columns)[0]
    return _step("counts", order="Second", column=column), column


def _scatter(x: Column, y: Column, category: Column | None) -> Step:
    used = [column.name for column in (x, y, category) if column]
    draw = _step("groups" if category else "points", x=x, y=y, category=category).code
    return _step("scatter", x=x, y=y, used=used, draw=draw)


def _summary(profile: Profile) -> Step:
    """Returns the last cell: the table whose numbers the conclusion quotes, as a value and as a file."""
    measure, category = _measure(profile), next(iter(profile.categories), None)
    if measure and category:
        rows, summary = f"data.groupby({category.name!r})[{measure.name!r}]", _STATISTICS
    elif measure:
        rows, summary = f"data[[{measure.name!r}]]", "rows.describe().round(2)"
    else:
        rows, summary = f"data[{(category or profile.columns[0]).name!r}]", "rows.value_counts().to_frame('rows')"
    return _step("summary", rows=rows, summary=summary)


def conclusion(profile: Profile, outputs: Sequence[str], table: tuple[Sequence[str], Sequence[Row]]) -> str:
    """Returns up to three sentences about the answers.

    `outputs` are the texts of the tool's messages, `table` the column names and rows of the summary.
    """
    sentences = [_size_sentence(outputs), _extremes_sentence(profile, *table), _together_sentence(profile, outputs)]
    return " ".join(sentence for sentence in sentences if sentence) + " The summary is in summary.csv."


def _size_sentence(outputs: Sequence[str]) -> str:
    # What the first cell printed. The text in the tool's message is all that a model sees, too.
    found = re.search(r"(\d+) rows, (\d+) columns\nmissing values: (.*)", "\n".join(outputs))
    if not found:
        return ""
    gaps = "no value is missing" if found[3] == "none" else f"missing values: {found[3].strip('{}')}".replace("'", "")
    columns = "1 column" if found[2] == "1" else f"{found[2]} columns"
    return f"The file has {found[1]} rows and {columns}; {gaps}."


def _extremes_sentence(profile: Profile, names: Sequence[str], rows: Sequence[Row]) -> str:
    """Returns which group has the highest and the lowest mean, or nothing when they do not differ."""
    measure = _measure(profile)
    if measure is None or not profile.categories or "mean" not in names:
        return ""
    mean, count = names.index("mean"), names.index("count")
    known = [(value, f"{row[0]} ({value:g}, n = {row[count]:g})") for row in rows if _known(value := row[mean])]
    ranked = sorted(known, key=lambda group: group[0])
    if not ranked or ranked[0][0] == ranked[-1][0]:
        return ""
    return f"Mean {measure.label} is highest for {ranked[-1][1]} and lowest for {ranked[0][1]}."


def _known(value: object) -> TypeGuard[float]:
    return isinstance(value, (int, float))


def _together_sentence(profile: Profile, outputs: Sequence[str]) -> str:
    """Returns how strong the correlation is that the scatter plot's cell printed."""
    found = re.findall(r"^r = (-?\d\.\d+)", "\n".join(outputs), re.MULTILINE)
    if not found or not profile.pair:
        return ""
    x, y = profile.pair
    # The usual limits for a correlation that is called strong or moderate.
    strength = "closely" if abs(float(found[-1])) > 0.7 else "loosely" if abs(float(found[-1])) > 0.3 else "hardly"
    return _sentence(f"{x.label} and {y.label} go {strength} together (r = {found[-1]}).")


def _sentence(text: str) -> str:
    """Returns the text with a capital letter at its beginning."""
    return text[:1].upper() + text[1:]
