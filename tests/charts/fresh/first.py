"""Twenty scripts with their truth, written after the extractor was finished and never used to tune it."""

# ruff: noqa: E501, B905 - scripts as people write them
from __future__ import annotations

import numpy as np
from fresh.form import PLT, one, panel, series

CASES = {}


def case(name, library, script, truth):
    CASES[name] = (library, script, truth)


case(
    "f01_churn_barh_sorted",
    "matplotlib",
    PLT
    + """
df = pd.DataFrame({"plan": ["Free", "Basic", "Pro", "Team"], "churn": [0.31, 0.18, 0.07, 0.04]}).sort_values("churn")
fig, ax = plt.subplots(figsize=(7, 3))
ax.barh(df["plan"], df["churn"], color="salmon")
ax.set_xlabel("Churn rate"); ax.set_title("Churn by plan")
for i, v in enumerate(df["churn"]):
    ax.text(v, i, f"{v:.0%}")
plt.tight_layout(); plt.show()
""",
    one(
        "bar",
        "Churn by plan",
        "Churn rate",
        None,
        "linear",
        "categorical",
        series(None, "bar", [0.04, 0.07, 0.18, 0.31], ["Team", "Pro", "Basic", "Free"], orientation="h"),
    ),
)

hours = [f"2024-03-01T{h:02d}:00:00" for h in range(0, 24, 6)]
case(
    "f02_two_sensors_twin_dates",
    "matplotlib",
    PLT
    + """
t = pd.date_range("2024-03-01", periods=4, freq="6h")
fig, ax = plt.subplots()
ax.plot(t, [20.5, 21.0, 24.5, 22.0], color="r", label="temp")
ax.set_ylabel("Temp [C]"); ax.set_xlabel("Time")
bx = ax.twinx(); bx.bar(t, [40, 45, 38, 42], width=0.1, alpha=.3, label="hum"); bx.set_ylabel("Humidity [%]")
fig.suptitle("Sensors"); plt.show()
""",
    {
        "figure_title": "Sensors",
        "panels": [
            panel(
                "mixed",
                None,
                "Time",
                "Temp [C]",
                "datetime",
                "linear",
                series("temp", "line", hours, [20.5, 21.0, 24.5, 22.0]),
                {**series("hum", "bar", hours, [40, 45, 38, 42], orientation="v"), "yaxis": "y2"},
                y2_label="Humidity [%]",
                y2_scale="linear",
                kinds_ok=["mixed", "line", "bar"],
            )
        ],
    },
)

gx = np.arange(1, 6)
case(
    "f03_loglog_powerlaw",
    "matplotlib",
    PLT
    + """
n = np.array([10, 100, 1000, 10000]); t1 = n * 1e-6; t2 = n ** 2 * 1e-8
plt.loglog(n, t1, "o-", label="O(n)"); plt.loglog(n, t2, "s--", label="O(n^2)")
plt.axhline(1.0, color="grey", ls=":", label="1 s"); plt.xlabel("n"); plt.ylabel("seconds"); plt.legend(); plt.title("Runtime")
plt.savefig("rt.png")
""",
    one(
        "line",
        "Runtime",
        "n",
        "seconds",
        "log",
        "log",
        series("O(n)", "line", [10, 100, 1000, 10000], [1e-05, 1e-04, 1e-03, 1e-02]),
        series("O(n^2)", "line", [10, 100, 1000, 10000], [1e-06, 1e-04, 1e-02, 1.0]),
        series("1 s", "rule", None, None, axis="y", value=1.0),
    ),
)

case(
    "f04_stacked_three_years",
    "matplotlib",
    PLT
    + """
years = ["2021", "2022", "2023"]; a = np.array([3, 4, 5]); b = np.array([2, 2, 1]); c = np.array([1, 3, 2])
fig, ax = plt.subplots()
ax.bar(years, a, label="A"); ax.bar(years, b, bottom=a, label="B"); ax.bar(years, c, bottom=a + b, label="C")
ax.legend(); ax.set_ylabel("Units"); ax.set_title("Mix"); fig.savefig("mix.pdf"); plt.close(fig)
""",
    one(
        "bar",
        "Mix",
        None,
        "Units",
        "categorical",
        "linear",
        series("A", "bar", ["2021", "2022", "2023"], [3, 4, 5], orientation="v"),
        series("B", "bar", ["2021", "2022", "2023"], [2, 2, 1], orientation="v"),
        series("C", "bar", ["2021", "2022", "2023"], [1, 3, 2], orientation="v"),
        barmode="stack",
    ),
)

rng = np.random.default_rng(77)
w = rng.exponential(3.0, 200)
counts, edges = np.histogram(w, bins=8, range=(0, 16), density=True)
case(
    "f05_hist_density_range",
    "matplotlib",
    PLT
    + """
rng = np.random.default_rng(77); w = rng.exponential(3.0, 200)
fig, ax = plt.subplots(); ax.hist(w, bins=8, range=(0, 16), density=True, color="teal", label="wait")
ax.axvline(3.0, color="k", label="mean"); ax.set(title="Waits", xlabel="min", ylabel="density"); ax.legend(); plt.show()
""",
    one(
        "histogram",
        "Waits",
        "min",
        "density",
        "linear",
        "linear",
        {
            **series("wait", "bar", ((edges[1:] + edges[:-1]) / 2).tolist(), counts.tolist(), edges=edges.tolist()),
            "kinds_ok": ["histogram", "bar"],
        },
        series("mean", "rule", None, None, axis="x", value=3.0),
    ),
)

case(
    "f06_errorbar_dose",
    "matplotlib",
    PLT
    + """
dose = [0.1, 1, 10, 100]; resp = [5, 20, 60, 85]; sd = [1, 3, 5, 4]
plt.errorbar(dose, resp, yerr=sd, fmt="s", capsize=4, label="assay"); plt.xscale("log")
plt.xlabel("Dose (uM)"); plt.ylabel("Response (%)"); plt.legend(); plt.title("Dose response"); plt.show()
""",
    one(
        "errorbar",
        "Dose response",
        "Dose (uM)",
        "Response (%)",
        "log",
        "linear",
        {
            **series(
                "assay",
                "errorbar",
                [0.1, 1, 10, 100],
                [5, 20, 60, 85],
                err_low=[4, 17, 55, 81],
                err_high=[6, 23, 65, 89],
            ),
            "kinds_ok": ["errorbar", "scatter"],
        },
        kinds_ok=["errorbar", "scatter"],
    ),
)

months = [f"2023-{m:02d}-01T00:00:00" for m in range(1, 7)]
case(
    "f07_pandas_monthly_series",
    "pandas",
    PLT
    + """
s = pd.Series([5, 7, 6, 9, 12, 11], index=pd.date_range("2023-01-01", periods=6, freq="MS"), name="signups")
ax = s.plot(title="Signups", legend=True); ax.set_ylabel("users"); plt.show()
""",
    one(
        "line", "Signups", None, "users", "datetime", "linear", series("signups", "line", months, [5, 7, 6, 9, 12, 11])
    ),
)

case(
    "f08_pandas_grouped_bar_subplots",
    "pandas",
    PLT
    + """
df = pd.DataFrame({"north": [3, 4], "south": [5, 1]}, index=["web", "shop"])
axes = df.plot.bar(subplots=True, layout=(1, 2), legend=False, title=["North", "South"], rot=0, figsize=(8, 3))
plt.tight_layout(); plt.show()
""",
    {
        "figure_title": None,
        "panels": [
            panel(
                "bar",
                "North",
                None,
                None,
                "categorical",
                "linear",
                series("north", "bar", ["web", "shop"], [3, 4], orientation="v"),
            ),
            panel(
                "bar",
                "South",
                None,
                None,
                "categorical",
                "linear",
                series("south", "bar", ["web", "shop"], [5, 1], orientation="v"),
            ),
        ],
    },
)

case(
    "f09_sns_heatmap_corr",
    "seaborn",
    PLT
    + """
import seaborn as sns
m = pd.DataFrame([[1.0, .3, -.2], [.3, 1.0, .5], [-.2, .5, 1.0]], index=list("abc"), columns=list("abc"))
sns.heatmap(m, annot=True, vmin=-1, vmax=1, cmap="coolwarm"); plt.title("Correlation"); plt.show()
""",
    one(
        "heatmap",
        "Correlation",
        None,
        None,
        "categorical",
        "categorical",
        series(None, "heatmap", list("abc"), list("abc"), z=[[1.0, 0.3, -0.2], [0.3, 1.0, 0.5], [-0.2, 0.5, 1.0]]),
    ),
)

case(
    "f10_sns_countplot_hue",
    "seaborn",
    PLT
    + """
import seaborn as sns
df = pd.DataFrame({"cls": ["1st"] * 3 + ["2nd"] * 4, "alive": ["y", "n", "y", "n", "n", "y", "n"]})
ax = sns.countplot(data=df, x="cls", hue="alive"); ax.set_title("Survival"); plt.show()
""",
    one(
        "bar",
        "Survival",
        "cls",
        "count",
        "categorical",
        "linear",
        series("y", "bar", ["1st", "2nd"], [2, 1], orientation="v"),
        series("n", "bar", ["1st", "2nd"], [1, 3], orientation="v"),
        barmode="group",
    ),
)

sx = [0.0, 0.5, 1.0, 1.5]
case(
    "f11_confidence_band_markers",
    "matplotlib",
    PLT
    + """
x = np.array([0, .5, 1, 1.5]); m = np.array([1, 2, 4, 3.]); s = np.array([.1, .2, .3, .4])
fig, (a, b) = plt.subplots(1, 2)
a.plot(x, m, "k-", label="mean"); a.fill_between(x, m - s, m + s, color="k", alpha=.2); a.set_title("fit"); a.legend()
b.scatter(x, m, c=s, cmap="plasma"); b.set_title("raw"); fig.colorbar(b.collections[0], ax=b, label="sigma"); plt.show()
""",
    {
        "figure_title": None,
        "panels": [
            panel(
                "line",
                "fit",
                None,
                None,
                "linear",
                "linear",
                series("mean", "line", sx, [1, 2, 4, 3]),
                {
                    **series(None, "band", sx, [1.1, 2.2, 4.3, 3.4], y0=[0.9, 1.8, 3.7, 2.6]),
                    "kinds_ok": ["band", "area"],
                },
                kinds_ok=["line", "mixed"],
            ),
            panel(
                "scatter",
                "raw",
                None,
                None,
                "linear",
                "linear",
                series(None, "scatter", sx, [1, 2, 4, 3], color=[0.1, 0.2, 0.3, 0.4]),
                color_label="sigma",
            ),
        ],
    },
)

case(
    "f12_pie_counts_legend",
    "matplotlib",
    PLT
    + """
c = pd.Series(["x", "y", "x", "z", "x", "y"]).value_counts()
fig, ax = plt.subplots(); w, t, p = ax.pie(c, autopct="%1.0f%%"); ax.legend(w, c.index, title="kind"); ax.set_title("Kinds"); plt.show()
""",
    one("pie", "Kinds", None, None, None, None, series(None, "pie", ["x", "y", "z"], [3, 2, 1])),
)

q = np.random.default_rng(5).normal(0, 1, (25, 2))


def stats(v):
    q1, med, q3 = np.percentile(v, [25, 50, 75])
    iqr = q3 - q1
    inside = v[(v >= q1 - 1.5 * iqr) & (v <= q3 + 1.5 * iqr)]
    return q1, med, q3, inside.min(), inside.max(), v[(v < inside.min()) | (v > inside.max())].tolist()


st = [stats(q[:, i]) for i in range(2)]
case(
    "f13_dataframe_boxplot",
    "pandas",
    PLT
    + """
q = np.random.default_rng(5).normal(0, 1, (25, 2))
pd.DataFrame(q, columns=["left", "right"]).boxplot(grid=False); plt.title("Arms"); plt.ylabel("score"); plt.show()
""",
    one(
        "box",
        "Arms",
        None,
        "score",
        "categorical",
        "linear",
        {
            "name": None,
            "kind": "box",
            "x": ["left", "right"],
            "y": None,
            "extra": dict(zip(("q1", "median", "q3", "whislo", "whishi", "fliers"), map(list, zip(*st)), strict=True)),
        },
    ),
)

case(
    "f14_step_and_annotation",
    "matplotlib",
    PLT
    + """
fig, ax = plt.subplots(); ax.step([0, 1, 2, 3], [5, 7, 4, 4], where="mid", label="stock")
ax.annotate("refill", (1, 7), (2, 8), arrowprops=dict(arrowstyle="->")); ax.legend(); ax.set_xlabel("day"); fig
""",
    one(
        "step",
        None,
        "day",
        None,
        "linear",
        "linear",
        {**series("stock", "step", [0, 1, 2, 3], [5, 7, 4, 4]), "kinds_ok": ["step", "line"]},
        kinds_ok=["step", "line"],
    ),
)

case(
    "f15_px_scatter_size_log",
    "plotly",
    """
import plotly.express as px, pandas as pd
df = pd.DataFrame({"gdp": [1e3, 1e4, 1e5], "life": [55.5, 70.1, 80.2], "cont": ["A", "B", "A"], "pop": [5, 9, 2]})
px.scatter(df, x="gdp", y="life", color="cont", size="pop", log_x=True, title="World")
""",
    one(
        "scatter",
        "World",
        "gdp",
        "life",
        "log",
        "linear",
        series("A", "scatter", [1e3, 1e5], [55.5, 80.2], size=[5, 2]),
        series("B", "scatter", [1e4], [70.1], size=[9]),
    ),
)

case(
    "f16_go_waterfall_two_rows",
    "plotly",
    """
import plotly.graph_objects as go
from plotly.subplots import make_subplots
fig = make_subplots(rows=2, cols=1, subplot_titles=("Plan", "Actual"))
fig.add_trace(go.Scatter(x=[1, 2, 3], y=[4, 5, 6], mode="lines", name="p"), row=1, col=1)
fig.add_trace(go.Bar(x=["a", "b"], y=[2, -3], name="d"), row=2, col=1)
fig.update_xaxes(title_text="step", row=1, col=1); fig.update_layout(title_text="Review"); fig.show()
""",
    {
        "figure_title": "Review",
        "panels": [
            panel("line", "Plan", "step", None, "linear", "linear", series("p", "line", [1, 2, 3], [4, 5, 6])),
            panel(
                "bar",
                "Actual",
                None,
                None,
                "categorical",
                "linear",
                series("d", "bar", ["a", "b"], [2, -3], orientation="v"),
            ),
        ],
    },
)

case(
    "f17_alt_mean_bar_error",
    "altair",
    """
import altair as alt, pandas as pd
df = pd.DataFrame({"grp": ["a", "a", "b", "b", "c"], "v": [1.0, 3.0, 4.0, 8.0, 5.0]})
alt.Chart(df).mark_bar().encode(x=alt.X("grp:N", title="Group"), y="mean(v):Q").properties(title="Means")
""",
    one(
        "bar",
        "Means",
        "Group",
        "Mean of v",
        "categorical",
        "linear",
        series(None, "bar", ["a", "b", "c"], [2.0, 6.0, 5.0], orientation="v"),
    ),
)

case(
    "f18_alt_layer_line_rule",
    "altair",
    """
import altair as alt, pandas as pd
df = pd.DataFrame({"t": [1, 2, 3, 4], "y": [3, 1, 4, 1]})
line = alt.Chart(df).mark_line().encode(x="t:Q", y="y:Q")
rule = alt.Chart(pd.DataFrame({"y": [2]})).mark_rule(color="red").encode(y="y:Q")
(line + rule).properties(title="Limit")
""",
    one(
        "line",
        "Limit",
        "t",
        "y",
        "linear",
        "linear",
        series(None, "line", [1, 2, 3, 4], [3, 1, 4, 1]),
        series(None, "rule", None, None, axis="y", value=2),
    ),
)

case(
    "f19_bk_hbar_and_line_log",
    "bokeh",
    """
from bokeh.io import output_notebook, show
from bokeh.plotting import figure
output_notebook()
p = figure(title="Decay", x_axis_label="t", y_axis_label="N", y_axis_type="log")
p.line([0, 1, 2, 3], [1000, 100, 10, 1], legend_label="N(t)"); p.scatter([0, 2], [990, 11], size=9, legend_label="obs")
show(p)
""",
    one(
        "line",
        "Decay",
        "t",
        "N",
        "linear",
        "log",
        series("N(t)", "line", [0, 1, 2, 3], [1000, 100, 10, 1]),
        series("obs", "scatter", [0, 2], [990, 11]),
        kinds_ok=["line", "scatter", "mixed"],
    ),
)

z = np.add.outer(np.arange(3), np.arange(4)).astype(float)
case(
    "f20_imshow_lower_extent",
    "matplotlib",
    PLT
    + """
z = np.add.outer(np.arange(3), np.arange(4)).astype(float)
plt.imshow(z, origin="lower", extent=[0, 8, 10, 16], aspect="auto"); plt.colorbar(label="dose")
plt.xlabel("km"); plt.ylabel("h"); plt.title("Plume"); plt.show()
""",
    one(
        "heatmap",
        "Plume",
        "km",
        "h",
        "linear",
        "linear",
        series(None, "heatmap", [1.0, 3.0, 5.0, 7.0], [11.0, 13.0, 15.0], z=z.tolist()),
        color_label="dose",
    ),
)
