"""Pictures, each drawn in four libraries the way people draw it there: what a cell runs, by picture and library.

`EXPECTED` is what a person sees: the panel's kind, the kinds of its series (sorted, without names), and how its bars
stand.
"""

from __future__ import annotations

DATA = """
import numpy as np, pandas as pd
places, more, less, error = ["a", "b", "c"], [3.0, 5.0, 4.0], [1.0, 2.0, 1.5], [0.5, 0.25, 0.75]
low, high = [v - e for v, e in zip(more, error)], [v + e for v, e in zip(more, error)]
t, up, down = [1.0, 2.0, 3.0, 4.0], [1.0, 3.0, 2.0, 5.0], [0.5, 1.0, 1.5, 2.0]
trend = [1.0, 2.0, 3.0, 4.0]
rng = np.random.default_rng(0)
one, two = rng.normal(0, 1, 200), rng.normal(1, 1, 200)
groups = [list(rng.normal(m, 1, 50)) for m in (0, 1, 2)]
days = pd.date_range("2024-01-01", periods=3)
opening, closing, lowest, highest = [1.0, 3.0, 2.0], [3.0, 2.0, 4.0], [0.5, 1.5, 1.0], [3.5, 3.5, 5.0]
grid = [[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]
"""

IMPORTS = {
    "matplotlib": "import matplotlib.pyplot as plt",
    "altair": """
import altair as alt
bars = pd.DataFrame({"k": places * 2, "v": more + less, "s": ["more"] * 3 + ["less"] * 3})
single = pd.DataFrame({"k": places, "v": more, "low": low, "high": high})
points = pd.DataFrame({"t": t, "up": up, "down": down, "trend": trend})
plain = alt.Chart(single).encode(x="k:N", y="v:Q")
""",
    "plotly": "import plotly.graph_objects as go",
    "bokeh": """
from bokeh.plotting import figure, show
from bokeh.models import ColumnDataSource, Whisker, Span
from bokeh.transform import dodge, linear_cmap
from bokeh.io import output_notebook
output_notebook(hide_banner=True)
""",
}

EXPECTED = {
    "a line": ("line", ["line"], None),
    "points": ("scatter", ["scatter"], None),
    "points with a trend": ("scatter", ["line", "scatter"], None),
    "points over a diagonal": ("scatter", ["line", "scatter"], None),
    "a line with some points marked": ("line", ["line", "scatter"], None),
    "bars beside one another": ("bar", ["bar", "bar"], "group"),
    "bars upon one another": ("bar", ["bar", "bar"], "stack"),
    "bars before one another": ("bar", ["bar", "bar"], "overlay"),
    "horizontal bars": ("bar", ["bar"], None),
    "bars with error bars": ("bar", ["bar"], None),
    "points with error bars": ("errorbar", ["errorbar"], None),
    "bars under a line": ("mixed", ["bar", "line"], None),
    "bars with a target": ("bar", ["bar", "rule"], None),
    "two histograms": ("histogram", ["histogram", "histogram"], "overlay"),
    "boxes": ("box", ["box"], None),
    "candlesticks": ("candlestick", ["candlestick"], None),
    "lollipops": ("stem", ["stem"], None),
    "an area": ("area", ["area"], None),
    "areas upon one another": ("area", ["area", "area"], "stack"),
    "areas before one another": ("area", ["area", "area"], "overlay"),
    "a line in a band": ("line", ["band", "line"], None),
    "a heat map": ("heatmap", ["heatmap"], None),
    "a pie": ("pie", ["pie"], None),
}

MATPLOTLIB = {
    "a line": "plt.plot(t, up)",
    "points": "plt.scatter(t, up)",
    "points with a trend": "plt.scatter(t, up); plt.plot(t, trend)",
    "points over a diagonal": "plt.plot([1, 4], [1, 4]); plt.scatter(t, up)",
    "a line with some points marked": "plt.plot(t, up); plt.scatter(t[1:2], up[1:2])",
    "bars beside one another": """
at = np.arange(3)
plt.bar(at - 0.2, more, 0.4, label="more"); plt.bar(at + 0.2, less, 0.4, label="less"); plt.xticks(at, places)""",
    "bars upon one another": 'plt.bar(places, more, label="more"); plt.bar(places, less, bottom=more, label="less")',
    "bars before one another": 'plt.bar(places, more, label="more"); plt.bar(places, less, label="less")',
    "horizontal bars": "plt.barh(places, more)",
    "bars with error bars": "plt.bar(places, more, yerr=error)",
    "points with error bars": 'plt.errorbar(t, up, yerr=0.5, fmt="o")',
    "bars under a line": "plt.bar(places, more); plt.plot(places, less)",
    "bars with a target": "plt.bar(places, more); plt.axhline(4.5)",
    "two histograms": "plt.hist(one, bins=20, alpha=0.5); plt.hist(two, bins=20, alpha=0.5)",
    "boxes": "plt.boxplot(groups, tick_labels=places)",
    "candlesticks": """
plt.vlines(days, lowest, highest)
plt.bar(days, [c - o for o, c in zip(opening, closing)], 0.6, bottom=opening)""",
    "lollipops": "plt.vlines(places, 0, more); plt.scatter(places, more)",
    "an area": "plt.fill_between(t, up)",
    "areas upon one another": 'plt.stackplot(t, up, down, labels=["up", "down"])',
    "areas before one another": "plt.fill_between(t, up, alpha=0.5); plt.fill_between(t, down, alpha=0.5)",
    "a line in a band": "plt.plot(t, trend); plt.fill_between(t, down, up, alpha=0.3)",
    "a heat map": "plt.imshow(grid)",
    "a pie": "plt.pie(more, labels=places)",
}

ALTAIR = {
    "a line": 'alt.Chart(points).mark_line().encode(x="t:Q", y="up:Q")',
    "points": 'alt.Chart(points).mark_point().encode(x="t:Q", y="up:Q")',
    "points with a trend": """
base = alt.Chart(points)
base.mark_point().encode(x="t:Q", y="up:Q") + base.mark_line().encode(x="t:Q", y="trend:Q")""",
    "points over a diagonal": """
ends = alt.Chart(points.iloc[[0, -1]]).mark_line().encode(x="t:Q", y="trend:Q")
ends + alt.Chart(points).mark_point().encode(x="t:Q", y="up:Q")""",
    "a line with some points marked": """
marked = alt.Chart(points.iloc[1:2]).mark_point().encode(x="t:Q", y="up:Q")
alt.Chart(points).mark_line().encode(x="t:Q", y="up:Q") + marked""",
    "bars beside one another": 'alt.Chart(bars).mark_bar().encode(x="k:N", y="v:Q", color="s:N", xOffset="s:N")',
    "bars upon one another": 'alt.Chart(bars).mark_bar().encode(x="k:N", y="v:Q", color="s:N")',
    "bars before one another": """
alt.Chart(bars).mark_bar(opacity=0.5).encode(x="k:N", y=alt.Y("v:Q").stack(None), color="s:N")""",
    "horizontal bars": 'alt.Chart(single).mark_bar().encode(x="v:Q", y="k:N")',
    "bars with error bars": """
ends = alt.Chart(single).mark_errorbar().encode(x="k:N", y="low:Q", y2="high:Q")
plain.mark_bar() + ends""",
    "points with error bars": """
ends = alt.Chart(single).mark_errorbar().encode(x="k:N", y="low:Q", y2="high:Q")
plain.mark_point(filled=True) + ends""",
    "bars under a line": "plain.mark_bar() + plain.mark_line()",
    "bars with a target": "plain.mark_bar() + alt.Chart().mark_rule().encode(y=alt.datum(4.5))",
    "two histograms": """
both = pd.DataFrame({"v": [*one, *two], "s": ["one"] * 200 + ["two"] * 200})
bins, counts = alt.X("v:Q").bin(maxbins=20), alt.Y("count()").stack(None)
alt.Chart(both).mark_bar(opacity=0.5).encode(bins, counts, color="s:N")""",
    "boxes": """
rows = pd.DataFrame({"k": np.repeat(places, 50), "v": np.concatenate(groups)})
alt.Chart(rows).mark_boxplot().encode(x="k:N", y="v:Q")""",
    "candlesticks": """
base = alt.Chart(pd.DataFrame({"d": days, "open": opening, "close": closing, "low": lowest, "high": highest}))
rule = base.mark_rule().encode(x="d:T", y="low:Q", y2="high:Q")
rule + base.mark_bar().encode(x="d:T", y="open:Q", y2="close:Q")""",
    "lollipops": "plain.mark_rule() + plain.mark_circle()",
    "an area": 'alt.Chart(points).mark_area().encode(x="t:Q", y="up:Q")',
    "areas upon one another": """
alt.Chart(points).transform_fold(["up", "down"]).mark_area().encode(x="t:Q", y="value:Q", color="key:N")""",
    "areas before one another": """
base = alt.Chart(points)
base.mark_area(opacity=0.5).encode(x="t:Q", y="up:Q") + base.mark_area(opacity=0.5).encode(x="t:Q", y="down:Q")""",
    "a line in a band": """
base = alt.Chart(points)
base.mark_line().encode(x="t:Q", y="trend:Q") + base.mark_area(opacity=0.3).encode(x="t:Q", y="down:Q", y2="up:Q")""",
    "a heat map": """
cells = pd.DataFrame([(x, y, grid[y][x]) for x in range(3) for y in range(2)], columns=["x", "y", "z"])
alt.Chart(cells).mark_rect().encode(x="x:O", y="y:O", color="z:Q")""",
    "a pie": 'alt.Chart(single).mark_arc().encode(theta="v:Q", color="k:N")',
}

PLOTLY = {
    "a line": 'go.Figure(go.Scatter(x=t, y=up, mode="lines"))',
    "points": 'go.Figure(go.Scatter(x=t, y=up, mode="markers"))',
    "points with a trend": """
go.Figure([go.Scatter(x=t, y=up, mode="markers"), go.Scatter(x=t, y=trend, mode="lines")])""",
    "points over a diagonal": """
go.Figure([go.Scatter(x=[1, 4], y=[1, 4], mode="lines"), go.Scatter(x=t, y=up, mode="markers")])""",
    "a line with some points marked": """
go.Figure([go.Scatter(x=t, y=up, mode="lines"), go.Scatter(x=t[1:2], y=up[1:2], mode="markers")])""",
    "bars beside one another": "go.Figure([go.Bar(x=places, y=more), go.Bar(x=places, y=less)])",
    "bars upon one another": """
go.Figure([go.Bar(x=places, y=more), go.Bar(x=places, y=less)]).update_layout(barmode="stack")""",
    "bars before one another": """
go.Figure([go.Bar(x=places, y=more), go.Bar(x=places, y=less)]).update_layout(barmode="overlay")""",
    "horizontal bars": 'go.Figure(go.Bar(x=more, y=places, orientation="h"))',
    "bars with error bars": "go.Figure(go.Bar(x=places, y=more, error_y={'array': error}))",
    "points with error bars": """
go.Figure(go.Scatter(x=t, y=up, mode="markers", error_y={"type": "constant", "value": 0.5}))""",
    "bars under a line": 'go.Figure([go.Bar(x=places, y=more), go.Scatter(x=places, y=less, mode="lines")])',
    "bars with a target": "go.Figure(go.Bar(x=places, y=more)).add_hline(4.5)",
    "two histograms": 'go.Figure([go.Histogram(x=one), go.Histogram(x=two)]).update_layout(barmode="overlay")',
    "boxes": """
go.Figure(go.Box(x=np.repeat(places, 50), y=np.concatenate(groups)))""",
    "candlesticks": "go.Figure(go.Candlestick(x=days, open=opening, close=closing, low=lowest, high=highest))",
    "lollipops": """
x, y = [v for k in places for v in (k, k, None)], [v for height in more for v in (0, height, None)]
go.Figure([go.Scatter(x=x, y=y, mode="lines"), go.Scatter(x=places, y=more, mode="markers")])""",
    "an area": 'go.Figure(go.Scatter(x=t, y=up, mode="lines", fill="tozeroy"))',
    "areas upon one another": """
go.Figure([go.Scatter(x=t, y=y, mode="lines", stackgroup="one") for y in (up, down)])""",
    "areas before one another": 'go.Figure([go.Scatter(x=t, y=y, mode="lines", fill="tozeroy") for y in (up, down)])',
    "a line in a band": """
lower = go.Scatter(x=t, y=down, mode="lines", line={"width": 0})
upper = go.Scatter(x=t, y=up, mode="lines", line={"width": 0}, fill="tonexty")
go.Figure([go.Scatter(x=t, y=trend, mode="lines"), lower, upper])""",
    "a heat map": "go.Figure(go.Heatmap(z=grid))",
    "a pie": "go.Figure(go.Pie(labels=places, values=more))",
}

BOKEH = {
    "a line": "p = figure(); p.line(t, up)",
    "points": "p = figure(); p.scatter(t, up)",
    "points with a trend": "p = figure(); p.scatter(t, up); p.line(t, trend)",
    "points over a diagonal": "p = figure(); p.line([1, 4], [1, 4]); p.scatter(t, up)",
    "a line with some points marked": "p = figure(); p.line(t, up); p.scatter(t[1:2], up[1:2])",
    "bars beside one another": """
p, source = figure(x_range=places), ColumnDataSource({"k": places, "more": more, "less": less})
p.vbar(dodge("k", -0.2, range=p.x_range), 0.4, "more", source=source)
p.vbar(dodge("k", 0.2, range=p.x_range), 0.4, "less", source=source)""",
    "bars upon one another": """
p, source = figure(x_range=places), ColumnDataSource({"k": places, "more": more, "less": less})
p.vbar_stack(["more", "less"], x="k", width=0.8, source=source)""",
    "bars before one another": "p = figure(x_range=places); p.vbar(places, 0.8, more); p.vbar(places, 0.8, less)",
    "horizontal bars": "p = figure(y_range=places); p.hbar(places, 0.8, more)",
    "bars with error bars": """
p, source = figure(x_range=places), ColumnDataSource({"k": places, "v": more, "low": low, "high": high})
p.vbar("k", 0.8, "v", source=source)
p.add_layout(Whisker(base="k", lower="low", upper="high", source=source))""",
    "points with error bars": """
p, source = figure(x_range=places), ColumnDataSource({"k": places, "v": more, "low": low, "high": high})
p.scatter("k", "v", source=source)
p.add_layout(Whisker(base="k", lower="low", upper="high", source=source))""",
    "bars under a line": "p = figure(x_range=places); p.vbar(places, 0.8, more); p.line(places, less)",
    "bars with a target": """
p = figure(x_range=places); p.vbar(places, 0.8, more); p.add_layout(Span(location=4.5, dimension="width"))""",
    "two histograms": """
p = figure()
for values in (one, two):
    counts, edges = np.histogram(values, bins=20)
    p.quad(left=edges[:-1], right=edges[1:], top=counts, bottom=0, alpha=0.5)""",
    "boxes": """
p = figure(x_range=places)
q0, q1, q2, q3, q4 = ([float(np.quantile(g, q)) for g in groups] for q in (0, 0.25, 0.5, 0.75, 1))
p.segment(places, q4, places, q3); p.segment(places, q0, places, q1)
p.vbar(places, 0.7, q2, q3); p.vbar(places, 0.7, q1, q2)""",
    "candlesticks": """
p = figure(x_axis_type="datetime")
p.segment(days, highest, days, lowest); p.vbar(days, 5e7, opening, closing)""",
    "lollipops": "p = figure(x_range=places); p.segment(places, 0, places, more); p.scatter(places, more)",
    "an area": "p = figure(); p.varea(t, 0, up)",
    "areas upon one another": """
p = figure()
p.varea_stack(["up", "down"], x="t", source=ColumnDataSource({"t": t, "up": up, "down": down}))""",
    "areas before one another": "p = figure(); p.varea(t, 0, up, alpha=0.5); p.varea(t, 0, down, alpha=0.5)",
    "a line in a band": "p = figure(); p.line(t, trend); p.varea(t, down, up, alpha=0.3)",
    "a heat map": """
p = figure()
cells = {"x": [0, 1, 2] * 2, "y": [0] * 3 + [1] * 3, "z": grid[0] + grid[1]}
p.rect("x", "y", 1, 1, source=ColumnDataSource(cells), fill_color=linear_cmap("z", "Viridis256", 1, 6))""",
    "a pie": """
p = figure()
ends = np.cumsum(more) / sum(more) * 2 * np.pi
source = ColumnDataSource({"k": places, "v": more, "a": [0, *ends[:-1]], "b": ends})
p.wedge(0, 0, 1, "a", "b", source=source, legend_field="k")""",
}

DRAWN = {
    "matplotlib": {name: f"{code}\nplt.show()" for name, code in MATPLOTLIB.items()},
    "altair": ALTAIR,
    "plotly": PLOTLY,
    "bokeh": {name: f"{code}\nshow(p)" for name, code in BOKEH.items()},
}
