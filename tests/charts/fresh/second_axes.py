"""The second twenty, matplotlib: time zones, weights, second scales, errors, stacks that lie."""

# ruff: noqa: E501 - scripts as people write them
from __future__ import annotations

import numpy as np
from fresh.form import PLT, one, panel, series

CASES = {}


def case(name, library, script, truth):
    CASES[name] = (library, script, truth)


kwh_days = [
    "2024-03-30T00:00:00+01:00",
    "2024-03-31T00:00:00+01:00",
    "2024-04-01T00:00:00+02:00",
    "2024-04-02T00:00:00+02:00",
    "2024-04-03T00:00:00+02:00",
]
spell = np.array([3, 8, 12, 14, 22, 27, 31, 44])
weight = np.array([1.0, 2.0, 0.5, 1.5, 2.5, 1.0, 3.0, 0.25])
spell_bins = [0, 10, 20, 30, 60]
case(
    "g01_mosaic_tz_decimal_weights",
    "matplotlib",
    PLT
    + """
from decimal import Decimal
days = pd.date_range("2024-03-30", periods=5, freq="D", tz="Europe/Berlin")
kwh = [11.2, 9.8, np.nan, 14.1, 13.3]
cost = {"Rent": Decimal("1250.50"), "Food": Decimal("430.10"), "Power": Decimal("88.75")}
fig, axd = plt.subplot_mosaic("AAB;CCB", figsize=(10, 6), layout="constrained")
axd["A"].plot(days, kwh, marker="o", label="kWh")
axd["A"].set_title("Consumption"); axd["A"].set_ylabel("kWh"); axd["A"].legend()
axd["A"].xaxis.set_major_formatter(plt.matplotlib.dates.DateFormatter("%d.%m.", tz=days.tz))
bars = axd["B"].barh(list(cost), list(cost.values()), color=["#4c72b0", "#dd8452", "#55a868"])
axd["B"].bar_label(bars, fmt="%.2f €", padding=3); axd["B"].invert_yaxis(); axd["B"].set_title("Costs"); axd["B"].set_xlabel("EUR")
spell = np.array([3, 8, 12, 14, 22, 27, 31, 44]); w = np.array([1, 2, .5, 1.5, 2.5, 1, 3, .25])
axd["C"].hist(spell, bins=[0, 10, 20, 30, 60], weights=w, edgecolor="white")
axd["C"].axvline(np.average(spell, weights=w), color="k", ls="--", label="weighted mean")
axd["C"].legend(); axd["C"].set(title="Dry spells", xlabel="days", ylabel="weight")
fig.suptitle("Household report")
plt.show()
""",
    {
        "figure_title": "Household report",
        "panels": [
            panel(
                "line",
                "Consumption",
                None,
                "kWh",
                "datetime",
                "linear",
                series("kWh", "line", kwh_days, [11.2, 9.8, None, 14.1, 13.3]),
            ),
            panel(
                "bar",
                "Costs",
                "EUR",
                None,
                "linear",
                "categorical",
                series(None, "bar", [1250.5, 430.1, 88.75], ["Rent", "Food", "Power"], orientation="h"),
            ),
            panel(
                "histogram",
                "Dry spells",
                "days",
                "weight",
                "linear",
                "linear",
                {
                    **series(None, "bar", [5.0, 15.0, 25.0, 45.0], [3.0, 2.0, 3.5, 3.25], edges=spell_bins),
                    "kinds_ok": ["histogram", "bar"],
                },
                series(
                    "weighted mean", "rule", None, None, axis="x", value=float((spell * weight).sum() / weight.sum())
                ),
                kinds_ok=["histogram", "mixed"],
            ),
        ],
    },
)

rng = np.random.default_rng(311)
wet, dry = rng.lognormal(1.0, 0.8, 120), rng.lognormal(2.0, 0.6, 80)
drop_edges = np.logspace(-1, 2, 10)
drops = [np.histogram(values, drop_edges, weights=np.full(len(values), 100 / 200))[0] for values in (wet, dry)]
drop_middle = ((drop_edges[1:] + drop_edges[:-1]) / 2).tolist()
case(
    "g02_stacked_hist_log_bins_percent",
    "matplotlib",
    PLT
    + """
rng = np.random.default_rng(311)
wet = rng.lognormal(1.0, 0.8, 120); dry = rng.lognormal(2.0, 0.6, 80)
bins = np.logspace(-1, 2, 10)
n = len(wet) + len(dry)
fig, ax = plt.subplots(figsize=(8, 4.5))
ax.hist([wet, dry], bins=bins, weights=[np.full(len(wet), 100 / n), np.full(len(dry), 100 / n)], stacked=True,
        label=["wet season", "dry season"], color=["tab:blue", "tab:orange"], alpha=.8)
ax.set_xscale("log"); ax.set_xlabel("Particle size (µm)"); ax.set_ylabel("Share (%)")
ax.set_title("Aerosol size distribution", loc="left"); ax.legend(title="Season"); ax.grid(which="both", alpha=.3)
plt.tight_layout(); plt.show()
""",
    one(
        "histogram",
        "Aerosol size distribution",
        "Particle size (µm)",
        "Share (%)",
        "log",
        "linear",
        *(
            {
                **series(name, "bar", drop_middle, shares.tolist(), edges=drop_edges.tolist()),
                "kinds_ok": ["histogram", "bar"],
            }
            for name, shares in zip(("wet season", "dry season"), drops, strict=True)
        ),
        barmode="stack",
    ),
)

depth = [0, 10, 20, 30, 50, 75, 100]
case(
    "g03_ctd_profile_twiny_inverted_gap",
    "matplotlib",
    PLT
    + """
depth = np.array([0, 10, 20, 30, 50, 75, 100])
temp = np.array([18.4, 18.1, 16.0, np.nan, 9.5, 8.2, 7.9])
sal = np.array([34.1, 34.1, 34.4, 34.9, 35.2, 35.3, 35.3])
fig, ax1 = plt.subplots(figsize=(4, 7))
l1, = ax1.plot(temp, depth, "r-o", label="Temperature")
ax1.set_xlabel("Temperature (°C)", color="r"); ax1.set_ylabel("Depth (m)")
ax1.tick_params(axis="x", labelcolor="r")
ax2 = ax1.twiny()
l2, = ax2.plot(sal, depth, "b-s", label="Salinity")
ax2.set_xlabel("Salinity (PSU)", color="b")
ax1.invert_yaxis()
ax1.legend(handles=[l1, l2], loc="lower right")
fig.suptitle("CTD cast 14")
plt.show()
""",
    {
        "figure_title": "CTD cast 14",
        "panels": [
            panel(
                "line",
                None,
                "Temperature (°C)",
                "Depth (m)",
                "linear",
                "linear",
                series("Temperature", "line", [18.4, 18.1, 16.0, None, 9.5, 8.2, 7.9], depth),
                series("Salinity", "line", [34.1, 34.1, 34.4, 34.9, 35.2, 35.3, 35.3], depth),
            )
        ],
    },
)

mass, spin = [0.1, 0.3, 0.6, 1.2], [9.0, 5.5, 3.8, 2.9]
spin_low, spin_high = [0.5, 0.4, 0.3, 0.2], [1.1, 0.9, 0.3, 0.6]
grid = np.geomspace(0.05, 2, 25)
case(
    "g04_asymmetric_errors_model_secondary_axis",
    "matplotlib",
    PLT
    + """
mass = [0.1, 0.3, 0.6, 1.2]; spin = [9.0, 5.5, 3.8, 2.9]
lo = [0.5, 0.4, 0.3, 0.2]; hi = [1.1, 0.9, 0.3, 0.6]
fig, ax = plt.subplots()
ax.errorbar(mass, spin, yerr=[lo, hi], xerr=0.02, fmt="o", ecolor="gray", elinewidth=1, capsize=3, label="observed")
grid = np.geomspace(0.05, 2, 25)
ax.plot(grid, 3 * grid ** -0.5, "--", color="C3", label=r"$P \\propto M^{-1/2}$", zorder=0)
ax.set_xscale("log"); ax.set_yscale("log")
sec = ax.secondary_xaxis("top", functions=(lambda m: m * 317.8, lambda e: e / 317.8)); sec.set_xlabel("Earth masses")
ax.set_xlabel("Jupiter masses"); ax.set_ylabel("Rotation period (h)"); ax.set_title("Spin of giants")
ax.legend(frameon=False); plt.tight_layout(); plt.savefig("spin.png", dpi=200)
""",
    one(
        "mixed",
        "Spin of giants",
        "Jupiter masses",
        "Rotation period (h)",
        "log",
        "log",
        {
            **series(
                "observed",
                "errorbar",
                mass,
                spin,
                err_low=[v - e for v, e in zip(spin, spin_low, strict=True)],
                err_high=[v + e for v, e in zip(spin, spin_high, strict=True)],
            ),
            "kinds_ok": ["errorbar", "scatter", "line"],
        },
        series(r"$P \propto M^{-1/2}$", "line", grid.tolist(), (3 * grid**-0.5).tolist()),
        kinds_ok=["mixed", "errorbar", "line", "scatter"],
    ),
)

questions = ["Easy to use", "Fast", "Good value"]
answers = {"Disagree": [15, 30, 22], "Neutral": [20, 10, 30], "Agree": [65, 60, 48]}
case(
    "g05_likert_diverging_barh",
    "matplotlib",
    PLT
    + """
questions = ["Easy to use", "Fast", "Good value"]
answers = pd.DataFrame({"Disagree": [15, 30, 22], "Neutral": [20, 10, 30], "Agree": [65, 60, 48]}, index=questions)
start = -(answers["Disagree"] + answers["Neutral"] / 2)
fig, ax = plt.subplots(figsize=(9, 3))
left = start.copy()
for col, color in zip(answers.columns, ["#d65f5f", "#cccccc", "#6acc64"]):
    b = ax.barh(answers.index, answers[col], left=left, color=color, label=col, height=0.6)
    ax.bar_label(b, label_type="center", fmt="%d%%")
    left += answers[col]
ax.axvline(0, color="black", lw=0.8)
ax.xaxis.set_major_formatter(lambda v, pos: f"{abs(v):.0f}%")
ax.invert_yaxis(); ax.legend(ncols=3, bbox_to_anchor=(0, 1), loc="lower left")
ax.spines[["top", "right"]].set_visible(False)
fig.suptitle("Customer survey 2024", x=0.1, ha="left"); plt.show()
""",
    {
        "figure_title": "Customer survey 2024",
        "panels": [
            panel(
                "bar",
                None,
                None,
                None,
                "linear",
                "categorical",
                *(series(name, "bar", shares, questions, orientation="h") for name, shares in answers.items()),
                series(None, "rule", None, None, axis="x", value=0),
                barmode="stack",
                kinds_ok=["bar", "mixed"],
            )
        ],
    },
)
