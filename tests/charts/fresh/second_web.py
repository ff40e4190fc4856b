"""The second twenty, plotly, altair and bokeh: facets, mixed subplots, log, shares, months, second axes."""

# ruff: noqa: E501 - scripts as people write them
from __future__ import annotations

from collections import defaultdict

from fresh.form import one, panel, series

CASES = {}


def case(name, library, script, truth):
    CASES[name] = (library, script, truth)


regions = ["North", "South"]
spend = {("2023", "A"): ([42.0, 38.5], [2.1, 1.8]), ("2023", "B"): ([30.2, 33.0], [1.2, 2.0])}
spend |= {("2024", "A"): ([45.5, 40.1], [1.9, 2.2]), ("2024", "B"): ([29.8, 35.6], [1.5, 1.1])}
case(
    "g15_px_bar_error_facets",
    "plotly",
    """
import pandas as pd
import plotly.express as px
df = pd.DataFrame({
    "region": ["North", "South"] * 4,
    "segment": ["A", "A", "B", "B"] * 2,
    "year": [2023] * 4 + [2024] * 4,
    "mean": [42.0, 38.5, 30.2, 33.0, 45.5, 40.1, 29.8, 35.6],
    "se": [2.1, 1.8, 1.2, 2.0, 1.9, 2.2, 1.5, 1.1],
})
fig = px.bar(df, x="region", y="mean", color="segment", error_y="se", barmode="group", facet_col="year",
             labels={"mean": "Mean spend (€)", "region": "Region"}, title="Spend by region", template="plotly_white", text_auto=".1f")
fig.update_layout(legend_title_text="Segment", height=400)
fig.show()
""",
    {
        "figure_title": "Spend by region",
        "panels": [
            panel(
                "bar",
                f"year={year}",
                "Region",
                "Mean spend (€)" if year == "2023" else None,
                "categorical",
                "linear",
                *(
                    series(
                        segment,
                        "bar",
                        regions,
                        spend[year, segment][0],
                        orientation="v",
                        err_low=[m - e for m, e in zip(*spend[year, segment], strict=True)],
                        err_high=[m + e for m, e in zip(*spend[year, segment], strict=True)],
                    )
                    for segment in "AB"
                ),
                barmode="group",
            )
            for year in ("2023", "2024")
        ],
    },
)

case(
    "g16_go_donut_radar_heatmap_row",
    "plotly",
    """
import plotly.graph_objects as go
import pandas as pd
from plotly.subplots import make_subplots
fig = make_subplots(rows=1, cols=3, specs=[[{"type": "domain"}, {"type": "polar"}, {"type": "xy"}]],
                    subplot_titles=("Energy mix", "Supplier score", "Load"))
fig.add_trace(go.Pie(labels=["Solar", "Wind", "Gas"], values=[35, 40, 25], hole=0.45, textinfo="label+percent"), 1, 1)
fig.add_trace(go.Scatterpolar(r=[4, 3, 5, 2], theta=["Price", "Speed", "Quality", "Service"], fill="toself", name="ACME"), 1, 2)
days = pd.date_range("2024-05-01", periods=3, freq="D")
fig.add_trace(go.Heatmap(z=[[1.5, 2.0, None], [3.1, 2.7, 2.2]], x=days, y=["night", "day"], colorscale="Viridis", colorbar=dict(title="MW")), 1, 3)
fig.update_layout(title="Utility dashboard", polar=dict(radialaxis=dict(range=[0, 5])))
fig.show()
""",
    {
        "figure_title": "Utility dashboard",
        "panels": [
            panel(
                "pie",
                "Energy mix",
                None,
                None,
                None,
                None,
                {**series(None, "pie", ["Solar", "Wind", "Gas"], [35, 40, 25]), "kinds_ok": ["pie", "donut"]},
                kinds_ok=["pie", "donut"],
            ),
            panel(
                "radar",
                "Supplier score",
                None,
                None,
                None,
                None,
                {
                    **series("ACME", "line", ["Price", "Speed", "Quality", "Service"], [4, 3, 5, 2]),
                    "kinds_ok": ["line", "radar", "polar", "area", "scatter"],
                },
                kinds_ok=["radar", "polar"],
            ),
            panel(
                "heatmap",
                "Load",
                None,
                None,
                "datetime",
                "categorical",
                series(
                    None,
                    "heatmap",
                    ["2024-05-01T00:00:00", "2024-05-02T00:00:00", "2024-05-03T00:00:00"],
                    ["night", "day"],
                    z=[[1.5, 2.0, None], [3.1, 2.7, 2.2]],
                ),
                color_label="MW",
            ),
        ],
    },
)

quarter_hours = [f"2024-06-03T10:{minute:02d}:00" for minute in (0, 15, 30, 45)]
case(
    "g17_px_line_log_hline",
    "plotly",
    """
import pandas as pd
import plotly.express as px
t = pd.date_range("2024-06-03 10:00", periods=4, freq="15min", tz="UTC")
df = pd.DataFrame({"time": t.tolist() * 2, "service": ["api"] * 4 + ["auth"] * 4, "p95": [120, 135, 980, 210, 45, None, 60, 52]})
fig = px.line(df, x="time", y="p95", color="service", line_dash="service", markers=True, log_y=True)
fig.add_hline(y=500, line_dash="dot", line_color="red", annotation_text="SLA")
fig.update_layout(title={"text": "<b>Latency</b>", "x": 0.5}, xaxis_title="Time (UTC)", yaxis_title="p95 (ms)")
fig
""",
    one(
        "line",
        "Latency",
        "Time (UTC)",
        "p95 (ms)",
        "datetime",
        "log",
        series("api", "line", quarter_hours, [120, 135, 980, 210]),
        series("auth", "line", quarter_hours, [45, None, 60, 52]),
        {**series(None, "rule", None, None, axis="y", value=500), "names_ok": ["SLA"]},
        kinds_ok=["line", "mixed"],
    ),
)

tickets = {"open": [12, 4, 9], "pending": [6, 10, 3], "closed": [30, 26, 24]}
totals = [sum(counts) for counts in zip(*tickets.values(), strict=True)]
case(
    "g18_alt_normalized_stack",
    "altair",
    """
import altair as alt
import pandas as pd
df = pd.DataFrame({
    "team": ["Core", "Data", "Web"] * 3,
    "status": ["open"] * 3 + ["pending"] * 3 + ["closed"] * 3,
    "n": [12, 4, 9, 6, 10, 3, 30, 26, 24],
})
alt.Chart(df, title="Ticket status by team").mark_bar().encode(
    x=alt.X("sum(n):Q", stack="normalize", title="Share of tickets", axis=alt.Axis(format="%")),
    y=alt.Y("team:N", sort="-x", title=None),
    color=alt.Color("status:N", title="Status", scale=alt.Scale(scheme="tableau10")),
    tooltip=["team", "status", "n"],
).properties(width=400)
""",
    one(
        "bar",
        "Ticket status by team",
        "Share of tickets",
        None,
        "linear",
        "categorical",
        *(
            series(
                status,
                "bar",
                [n / total for n, total in zip(counts, totals, strict=True)],
                ["Core", "Data", "Web"],
                orientation="h",
            )
            for status, counts in tickets.items()
        ),
        barmode="stack",
    ),
)

sold = [
    ("2024-01-05", "web", 10.0),
    ("2024-01-20", "web", 5.5),
    ("2024-02-11", "web", 8.0),
    ("2024-03-02", "web", 12.0),
]
sold += [
    ("2024-01-09", "shop", 7.0),
    ("2024-02-15", "shop", 6.0),
    ("2024-02-28", "shop", 4.0),
    ("2024-03-30", "shop", 9.5),
]


def by_month(channel):
    months = defaultdict(float)
    for day, where, amount in sold:
        if where == channel:
            months[day[:7] + "-01"] += amount
    return series(channel, "line", list(months), list(months.values()))


case(
    "g19_alt_yearmonth_sum_lines",
    "altair",
    f"""
import altair as alt
import pandas as pd
df = pd.DataFrame({sold!r}, columns=["date", "channel", "amount"])
df["date"] = pd.to_datetime(df["date"])
chart = alt.Chart(df).mark_line(point=True).encode(
    x=alt.X("yearmonth(date):T", title="Month"),
    y=alt.Y("sum(amount):Q", title="Sales (k€)", scale=alt.Scale(zero=False)),
    color=alt.Color("channel:N", legend=alt.Legend(title="Channel")),
    strokeDash="channel:N",
).properties(title="Monthly sales by channel", width=500, height=250).interactive()
chart
""",
    one(
        "line",
        "Monthly sales by channel",
        "Month",
        "Sales (k€)",
        "datetime",
        "linear",
        by_month("web"),
        by_month("shop"),
    ),
)

bk_days = [f"2024-02-{day:02d}T00:00:00" for day in (5, 6, 7, 8)]
case(
    "g20_bk_band_volume_right_axis_span",
    "bokeh",
    """
import pandas as pd
from bokeh.io import output_notebook, show
from bokeh.models import ColumnDataSource, LinearAxis, Range1d, Span
from bokeh.plotting import figure
output_notebook()
df = pd.DataFrame({"date": pd.date_range("2024-02-05", periods=4), "close": [101.5, 103.0, 102.2, 104.8], "vol": [1200, 900, 1500, 1100]})
df["lo"] = df["close"] - 2; df["hi"] = df["close"] + 2
source = ColumnDataSource(df)
p = figure(title="Price and volume", x_axis_type="datetime", width=700, height=350, x_axis_label="Date", y_axis_label="Price")
p.y_range = Range1d(95, 110)
p.extra_y_ranges = {"volume": Range1d(0, 4000)}
p.add_layout(LinearAxis(y_range_name="volume", axis_label="Volume"), "right")
p.vbar(x="date", top="vol", width=pd.Timedelta(hours=16), source=source, color="lightgray", y_range_name="volume", legend_label="Volume")
p.varea(x="date", y1="lo", y2="hi", source=source, fill_alpha=0.2, legend_label="Band")
p.line("date", "close", source=source, line_width=2, legend_label="Close")
p.add_layout(Span(location=103, dimension="width", line_dash="dashed"))
p.legend.location = "top_left"
show(p)
""",
    one(
        "mixed",
        "Price and volume",
        "Date",
        "Price",
        "datetime",
        "linear",
        {**series("Volume", "bar", bk_days, [1200, 900, 1500, 1100], orientation="v"), "yaxis": "y2"},
        {
            **series("Band", "band", bk_days, [103.5, 105.0, 104.2, 106.8], y0=[99.5, 101.0, 100.2, 102.8]),
            "kinds_ok": ["band", "area"],
        },
        series("Close", "line", bk_days, [101.5, 103.0, 102.2, 104.8]),
        series(None, "rule", None, None, axis="y", value=103),
        kinds_ok=["mixed", "line", "bar"],
        y2_label="Volume",
        y2_scale="linear",
    ),
)
