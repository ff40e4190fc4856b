"""The second twenty, seaborn: points in facets, stacked shares, half a heat map."""

# ruff: noqa: E501 - scripts as people write them
from __future__ import annotations

from collections import defaultdict

import numpy as np
from fresh.form import PLT, one, panel, series

CASES = {}


def case(name, library, script, truth):
    CASES[name] = (library, script, truth)


rng = np.random.default_rng(8)
growth = defaultdict(list)
for medium in ("agar", "broth"):
    for strain in ("wild", "mutant"):
        for dose in (1, 10, 100):
            growth[medium, strain].append(rng.normal(10 - np.log10(dose), 1, 5))


def points(medium, strain):
    means = [values.mean() for values in growth[medium, strain]]
    spread = [values.std(ddof=1) for values in growth[medium, strain]]
    low = [float(m - s) for m, s in zip(means, spread, strict=True)]
    high = [float(m + s) for m, s in zip(means, spread, strict=True)]
    told = series(strain, "line", ["1", "10", "100"], list(map(float, means)), err_low=low, err_high=high)
    return told | {"kinds_ok": ["line", "errorbar", "scatter"]}


case(
    "g12_sns_catplot_point_dodge_facets",
    "seaborn",
    PLT
    + """
import seaborn as sns
rng = np.random.default_rng(8)
rows = [(m, s, d, v) for m in ("agar", "broth") for s in ("wild", "mutant") for d in (1, 10, 100) for v in rng.normal(10 - np.log10(d), 1, 5)]
df = pd.DataFrame(rows, columns=["medium", "strain", "dose", "growth"])
g = sns.catplot(data=df, kind="point", x="dose", y="growth", hue="strain", col="medium", errorbar="sd", capsize=.1, dodge=True, height=3.5)
g.set_axis_labels("Dose (mg)", "Growth (mm)")
g.figure.suptitle("Growth inhibition", y=1.03)
plt.show()
""",
    {
        "figure_title": "Growth inhibition",
        "panels": [
            panel(
                "line",
                f"medium = {medium}",
                "Dose (mg)",
                "Growth (mm)" if medium == "agar" else None,
                "categorical",
                "linear",
                points(medium, "wild"),
                points(medium, "mutant"),
                kinds_ok=["line", "errorbar", "scatter", "mixed"],
            )
            for medium in ("agar", "broth")
        ],
    },
)

rng = np.random.default_rng(23)
basket = {"web": rng.gamma(3, 8, 90), "store": rng.gamma(5, 6, 60)}
basket_edges = list(range(0, 101, 10))
shares = {name: (np.histogram(np.clip(v, 0, 99), basket_edges)[0] / 150 * 100).tolist() for name, v in basket.items()}
case(
    "g13_sns_histplot_stack_percent",
    "seaborn",
    PLT
    + """
import seaborn as sns
sns.set_theme(style="whitegrid")
rng = np.random.default_rng(23)
df = pd.DataFrame({"amount": np.clip(np.r_[rng.gamma(3, 8, 90), rng.gamma(5, 6, 60)], 0, 99), "channel": np.repeat(["web", "store"], [90, 60])})
fig, ax = plt.subplots(figsize=(8, 4))
sns.histplot(data=df, x="amount", hue="channel", multiple="stack", stat="percent", binwidth=10, binrange=(0, 100), palette="Set2", ax=ax)
ax.set(title="Basket size", xlabel="Amount (€)")
sns.despine(); plt.show()
""",
    one(
        "histogram",
        "Basket size",
        "Amount (€)",
        "Percent",
        "linear",
        "linear",
        *(
            {
                **series(name, "bar", list(range(5, 100, 10)), share, edges=basket_edges),
                "kinds_ok": ["histogram", "bar"],
            }
            for name, share in shares.items()
        ),
        barmode="stack",
    ),
)

rng = np.random.default_rng(31)
size = rng.normal(100, 20, 50)
homes = np.array([size, 3 * size + rng.normal(0, 40, 50), rng.integers(0, 60, 50), rng.normal(0, 1, 50)])
features = ["area", "price", "age", "score"]
r = np.corrcoef(homes)
below = [[float(r[i, j]) if j < i else None for j in range(4)] for i in range(4)]
case(
    "g14_sns_heatmap_lower_triangle",
    "seaborn",
    PLT
    + """
import seaborn as sns
rng = np.random.default_rng(31)
area = rng.normal(100, 20, 50)
df = pd.DataFrame({"area": area, "price": 3 * area + rng.normal(0, 40, 50), "age": rng.integers(0, 60, 50), "score": rng.normal(0, 1, 50)})
corr = df.corr()
mask = np.triu(np.ones_like(corr, dtype=bool))
plt.figure(figsize=(6, 5))
sns.heatmap(corr, mask=mask, annot=True, fmt=".2f", cmap="vlag", center=0, square=True, linewidths=.5, cbar_kws={"label": "Pearson r", "shrink": .8})
plt.title("Feature correlation"); plt.xticks(rotation=45); plt.tight_layout(); plt.savefig("corr.png", dpi=150)
""",
    one(
        "heatmap",
        "Feature correlation",
        None,
        None,
        "categorical",
        "categorical",
        series(None, "heatmap", features, features, z=below),
        color_label="Pearson r",
    ),
)
