"""`Chart` is a `Figure` with the methods that export it.

The exporters are imported when a method is called: reading a result needs none of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ci_integrations._names import PLOTLY_MIME, VEGALITE_MIME
from ci_integrations.charts.model import Figure

if TYPE_CHECKING:
    from pandas import DataFrame


class Chart(Figure):
    """One figure.

    `to_vega_lite()`, `to_plotly()`, `to_dataframe()`, `to_markdown()` and `describe()` say the same in other forms; the
    first three raise `ArtifactError` while there are `files` that were not loaded.
    """

    def describe(self) -> str:
        """Returns what a reader who cannot see the picture needs.

        For each panel that is its kind, title, axes, ranges, extremes and counts.
        """
        from ci_integrations.charts.export.words import describe

        return describe(self)

    def to_markdown(self, max_rows: int = 20) -> str:
        """Returns a table of at most `max_rows` rows for each panel. Long series keep their extremes; text is safe."""
        from ci_integrations.charts.export.tables import to_markdown

        return to_markdown(self, max_rows)

    def to_dataframe(self) -> DataFrame:
        """Returns a pandas DataFrame in long form: panel, series, kind, axis, x, y and the extra columns.

        Raises `ImportError` when pandas is missing, and `ArtifactError` as long as `files` were not loaded.
        """
        from ci_integrations.charts.export.tables import to_dataframe

        return to_dataframe(self)

    def to_vega_lite(self) -> dict[str, Any] | None:
        """Returns a Vega-Lite specification, or None when that grammar has no form for it (surfaces, polar ...).

        Raises `ArtifactError` as long as `files` were not loaded.
        """
        from ci_integrations.charts.export.vega_lite import to_vega_lite

        return to_vega_lite(self)

    def to_plotly(self) -> dict[str, Any]:
        """Returns a plotly figure as a dict (`data`, `layout`); plotly itself is not needed.

        Raises `ArtifactError` as long as `files` were not loaded.
        """
        from ci_integrations.charts.export.plotly import to_plotly

        return to_plotly(self)

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        """Returns what Jupyter displays: the interactive form, and the description for everything that shows text.

        It is made from what was read of the figure: a specification of the code's own could make the browser load from
        anywhere.
        """
        from ci_integrations.charts.export.plotly import to_neutral_plotly, without_markup

        bundle: dict[str, Any] = {"text/plain": self.describe()}
        if self.files:
            return bundle
        spec = self.to_vega_lite()
        if spec is not None:
            bundle[VEGALITE_MIME] = spec
        else:
            bundle[PLOTLY_MIME] = without_markup(to_neutral_plotly(self))
        return bundle
