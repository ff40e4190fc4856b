"""The second twenty, matplotlib and pandas: pies, roses, contours, boxes, second axes, groups."""

# ruff: noqa: E501 - scripts as people write them
from __future__ import annotations

import numpy as np
from fresh.form import PLT, one, panel, series

CASES = {}


def case(name, library, script, truth):
    CASES[name] = (library, script, truth)


case(
    "g06_bar_of_pie",
    "matplotlib",
    PLT
    + """
from matplotlib.patches import ConnectionPatch
fig, (ax1, ax2) = plt.subplots(1, 2, figsize=(9, 5)); fig.subplots_adjust(wspace=0)
ratios = [.27, .56, .17]; labels = ["Approve", "Disapprove", "Undecided"]; explode = [0.1, 0, 0]
wedges, *_ = ax1.pie(ratios, autopct="%1.1f%%", startangle=-180 * ratios[0], labels=labels, explode=explode)
age_ratios = [.33, .54, .07, .06]; age_labels = ["Under 35", "35-49", "50-65", "Over 65"]
bottom = 1; width = .2
for j, (height, label) in enumerate(reversed([*zip(age_ratios, age_labels)])):
    bottom -= height
    bc = ax2.bar(0, height, width, bottom=bottom, color="C0", label=label, alpha=0.1 + 0.25 * j)
    ax2.bar_label(bc, labels=[f"{height:.0%}"], label_type="center")
ax2.set_title("Age of approvers"); ax2.legend(); ax2.axis("off"); ax2.set_xlim(-2.5 * width, 2.5 * width)
theta1, theta2 = wedges[0].theta1, wedges[0].theta2
center, r = wedges[0].center, wedges[0].r
for theta, y in ((theta2, 1), (theta1, 0)):
    con = ConnectionPatch(xyA=(-width / 2, y), coordsA=ax2.transData,
                          xyB=(r * np.cos(np.pi / 180 * theta) + center[0], r * np.sin(np.pi / 180 * theta) + center[1]), coordsB=ax1.transData)
    con.set_linewidth(2); ax2.add_artist(con)
plt.show()
""",
    {
        "figure_title": None,
        "panels": [
            panel(
                "pie",
                None,
                None,
                None,
                None,
                None,
                series(None, "pie", ["Approve", "Disapprove", "Undecided"], [0.27, 0.56, 0.17]),
            ),
            panel(
                "bar",
                "Age of approvers",
                None,
                None,
                None,
                None,
                series("Under 35", "bar", [0], [0.33], orientation="v"),
                series("35-49", "bar", [0], [0.54], orientation="v"),
                series("50-65", "bar", [0], [0.07], orientation="v"),
                series("Over 65", "bar", [0], [0.06], orientation="v"),
                barmode="stack",
            ),
        ],
    },
)

compass = ["N", "NE", "E", "SE", "S", "SW", "W", "NW"]
angles = np.deg2rad(np.arange(0, 360, 45)).tolist()
wind = {"0-5 m/s": [4, 3, 2, 5, 8, 9, 6, 4], "5-10 m/s": [2, 1, 1, 3, 6, 7, 5, 3], ">10 m/s": [0, 0, 1, 1, 2, 4, 3, 1]}
case(
    "g07_wind_rose_stacked_polar_bars",
    "matplotlib",
    PLT
    + """
theta = np.deg2rad(np.arange(0, 360, 45))
freq = {"0-5 m/s": [4, 3, 2, 5, 8, 9, 6, 4], "5-10 m/s": [2, 1, 1, 3, 6, 7, 5, 3], ">10 m/s": [0, 0, 1, 1, 2, 4, 3, 1]}
fig, ax = plt.subplots(subplot_kw={"projection": "polar"}, figsize=(6, 6))
bottom = np.zeros(8)
for (name, f), c in zip(freq.items(), plt.cm.viridis([.2, .5, .8])):
    ax.bar(theta, f, width=np.deg2rad(40), bottom=bottom, color=c, edgecolor="k", label=name)
    bottom += f
ax.set_theta_zero_location("N"); ax.set_theta_direction(-1)
ax.set_xticks(theta, labels=["N", "NE", "E", "SE", "S", "SW", "W", "NW"])
ax.set_title("Wind rose, station 7"); ax.legend(bbox_to_anchor=(1.1, 1)); plt.show()
""",
    one(
        "polar",
        "Wind rose, station 7",
        None,
        None,
        None,
        None,
        *(
            {**series(name, "bar", compass, counts), "kinds_ok": ["bar", "polar"], "alternatives": [{"x": angles}]}
            for name, counts in wind.items()
        ),
        kinds_ok=["polar", "radar", "bar"],
        barmode="stack",
    ),
)

levels = [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]
case(
    "g08_contourf_contour_stations",
    "matplotlib",
    PLT
    + """
lon = np.linspace(4, 8, 41); lat = np.linspace(50, 53, 31)
X, Y = np.meshgrid(lon, lat)
Z = np.exp(-((X - 6) ** 2 + (Y - 51.5) ** 2))
levels = np.array([0, .2, .4, .6, .8, 1.0])
fig, ax = plt.subplots(figsize=(7, 5))
cf = ax.contourf(X, Y, Z, levels=levels, cmap="YlOrRd")
cs = ax.contour(X, Y, Z, levels=levels, colors="k", linewidths=.5)
ax.clabel(cs, fmt="%.1f", fontsize=8)
ax.scatter([5.1, 6.0, 7.2], [50.8, 51.6, 52.3], marker="^", c="blue", label="stations")
for name, x, y in [("AMS", 5.1, 50.8), ("DUS", 6.0, 51.6), ("MUN", 7.2, 52.3)]:
    ax.annotate(name, (x, y), xytext=(4, 4), textcoords="offset points")
fig.colorbar(cf, ax=ax, label="NO2 (relative)")
ax.set(xlabel="Longitude", ylabel="Latitude", title="Plume"); ax.legend(); plt.show()
""",
    one(
        "contour",
        "Plume",
        "Longitude",
        "Latitude",
        "linear",
        "linear",
        series(None, "contour", None, None, levels=levels),
        series(None, "contour", None, None, levels=levels) | {"optional": True},
        series("stations", "scatter", [5.1, 6.0, 7.2], [50.8, 51.6, 52.3]),
        kinds_ok=["contour", "mixed"],
        color_label="NO2 (relative)",
    ),
)

rng = np.random.default_rng(12)
pay = {year: [rng.normal(mean, 6, 40) for mean in (50, 58, 71)] for year in (2022, 2023)}
BOX = ("q1", "median", "q3", "whislo", "whishi", "fliers")


def box(values, low, high):
    """Five numbers and the rest, with whiskers at percentiles."""
    q1, median, q3, floor, roof = np.percentile(values, [25, 50, 75, low, high])
    whislo, whishi = values[values >= floor].min(), values[values <= roof].max()
    fliers = values[(values < whislo) | (values > whishi)].tolist()
    return q1, median, q3, float(whislo), float(whishi), fliers


case(
    "g09_grouped_boxes_by_hand_whis",
    "matplotlib",
    PLT
    + """
rng = np.random.default_rng(12)
pay = {y: [rng.normal(m, 6, 40) for m in (50, 58, 71)] for y in (2022, 2023)}
pos = np.arange(3) * 2.0
fig, ax = plt.subplots()
b1 = ax.boxplot(pay[2022], positions=pos - 0.35, widths=0.6, whis=(5, 95), patch_artist=True, showmeans=True)
b2 = ax.boxplot(pay[2023], positions=pos + 0.35, widths=0.6, whis=(5, 95), patch_artist=True, showmeans=True)
for b, c in ((b1, "lightblue"), (b2, "lightgreen")):
    for patch in b["boxes"]:
        patch.set_facecolor(c)
ax.set_xticks(pos); ax.set_xticklabels(["Junior", "Mid", "Senior"])
ax.legend([b1["boxes"][0], b2["boxes"][0]], ["2022", "2023"], loc="upper left")
ax.set_ylabel("Salary (k€)"); ax.set_title("Pay by level"); plt.show()
""",
    one(
        "box",
        "Pay by level",
        None,
        "Salary (k€)",
        "categorical",
        "linear",
        *(
            {
                "name": str(year),
                "kind": "box",
                "x": ["Junior", "Mid", "Senior"],
                "y": None,
                "extra": dict(zip(BOX, map(list, zip(*(box(v, 5, 95) for v in groups), strict=True)), strict=True)),
            }
            for year, groups in pay.items()
        ),
    ),
)

quarters = ["2023Q1", "2023Q2", "2023Q3", "2023Q4"]
margin = [12.5, None, 9.1, 15.0]
case(
    "g10_pandas_bar_secondary_line_gap",
    "pandas",
    PLT
    + """
df = pd.DataFrame({"quarter": ["2023Q1", "2023Q2", "2023Q3", "2023Q4"], "revenue": [120, 135, 128, 160], "margin": [12.5, np.nan, 9.1, 15.0]}).set_index("quarter")
ax = df["revenue"].plot.bar(color="steelblue", rot=0, figsize=(8, 4), legend=True)
df["margin"].plot(ax=ax, secondary_y=True, color="darkorange", marker="o", legend=True)
ax.set_ylabel("Revenue (k€)"); ax.right_ax.set_ylabel("Margin (%)"); ax.right_ax.set_ylim(0, 20)
ax.set_title("Revenue and margin"); plt.tight_layout(); plt.show()
""",
    one(
        "mixed",
        "Revenue and margin",
        "quarter",
        "Revenue (k€)",
        "categorical",
        "linear",
        series("revenue", "bar", quarters, [120, 135, 128, 160], orientation="v"),
        {
            **series("margin", "line", quarters, margin),
            "yaxis": "y2",
            "names_ok": ["margin (right)"],
            "alternatives": [{"x": quarters[:1] + quarters[2:], "y": margin[:1] + margin[2:]}],
        },
        kinds_ok=["mixed", "bar", "line"],
        y2_label="Margin (%)",
        y2_scale="linear",
    ),
)

rng = np.random.default_rng(41)
waits = {"East": rng.gamma(2, 10, 60), "West": rng.gamma(3, 8, 40)}
wait_bins = {clinic: np.histogram(values, bins=6) for clinic, values in waits.items()}
case(
    "g11_pandas_hist_by_group",
    "pandas",
    PLT
    + """
rng = np.random.default_rng(41)
df = pd.DataFrame({"wait": np.r_[rng.gamma(2, 10, 60), rng.gamma(3, 8, 40)], "clinic": ["East"] * 60 + ["West"] * 40})
axes = df.hist(column="wait", by="clinic", bins=6, layout=(1, 2), figsize=(9, 3.5), rot=0, grid=True)
for ax in axes.flat:
    ax.set_xlabel("Minutes"); ax.set_ylabel("Patients")
plt.suptitle("Waiting time by clinic"); plt.tight_layout(); plt.show()
""",
    {
        "figure_title": "Waiting time by clinic",
        "panels": [
            panel(
                "histogram",
                clinic,
                "Minutes",
                "Patients",
                "linear",
                "linear",
                {
                    **series(
                        None, "bar", ((edges[1:] + edges[:-1]) / 2).tolist(), counts.tolist(), edges=edges.tolist()
                    ),
                    "kinds_ok": ["histogram", "bar"],
                    "names_ok": ["wait"],
                },
            )
            for clinic, (counts, edges) in wait_bins.items()
        ],
    },
)
