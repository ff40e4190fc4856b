"""Installs the extractor in IPython: formatters, events, and hooks that wait for the plotting libraries."""

# ruff: noqa: SIM105 - each `except` says why it drops the failure
from __future__ import annotations

import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import e2b, files, tables, web
from .importing import Patch, when_imported
from .matplotlib import hooks, libraries, report
from .state import STATE

if TYPE_CHECKING:
    from .foreign import Json, Shell, UserData


_PATCHES: dict[str, Patch] = {
    "matplotlib.axes._axes": hooks.patch_axes,
    "mpl_toolkits.mplot3d.axes3d": hooks.patch_axes3d,
    "seaborn.categorical": libraries.patch_seaborn_categorical,
    "seaborn.distributions": libraries.patch_seaborn_distributions,
    "seaborn.matrix": libraries.patch_seaborn_matrix,
    "pandas.plotting._matplotlib.core": libraries.patch_pandas,
    "squarify": libraries.patch_squarify,
}
_FULL: dict[str, Patch] = {
    "matplotlib.figure": report.patch_figure,
    "matplotlib._pylab_helpers": report.patch_gcf,
    "plotly.io._renderers": web.patch_plotly,
    "plotly.basedatatypes": web.patch_plotly_figure,
    "plotly.io": web.patch_plotly_io,
    "altair": web.patch_altair,
    "bokeh.io.showing": web.patch_bokeh_show,
    "bokeh.io.saving": web.patch_bokeh_save,
}
_OTHER_TABLES = [
    ("polars.dataframe.frame", "DataFrame"), ("polars.series.series", "Series"), ("pyarrow.lib", "Table"),
    ("pyarrow.lib", "RecordBatch"), ("numpy", "ndarray"), ("xarray.core.dataset", "Dataset"),
    ("xarray.core.dataarray", "DataArray"), ("scipy.sparse._matrix", "spmatrix"), ("scipy.sparse._base", "sparray"),
    ("_duckdb", "DuckDBPyRelation"), ("duckdb", "DuckDBPyRelation"), ("duckdb.duckdb", "DuckDBPyRelation"),
]  # fmt: skip
"""What other libraries call a table, by module and name."""
_WATCH = files.Watch()


def install(shell: Shell, *, full: bool) -> None:
    """Installs once for each shell and process; a fork or a new shell starts afresh."""
    known = STATE.shell is shell
    if STATE.pid != os.getpid() or not known:
        STATE.reset()
        STATE.shell = shell
    if not known:  # a fork has its parent's: to make traitlets' classes again would cost it 2 MiB of its own
        _formatters(shell)
        _once(shell)
    when_imported(_PATCHES)
    if full and not STATE.full:
        STATE.full = True
        when_imported(_FULL)
        _events(shell)


def _formatters(shell: Shell) -> None:
    """Adds our MIME types to what IPython shows of figures and frames."""
    from IPython.core.formatters import BaseFormatter
    from traitlets import ObjectName, Unicode

    def add(mime: str, readers: dict[tuple[str, str], Callable[[UserData], Json]]) -> None:
        class Formatter(BaseFormatter):
            """Knows types by name, and cannot lose them: the inline backend unregisters figures everywhere."""

            format_type = Unicode(mime)
            print_method = ObjectName(f"_repr_{mime.replace('/', '_')}_" if mime.startswith("e2b/") else "_repr_ci_")
            _return_type = dict

            def __call__(self, obj: object) -> Json:
                reader = next((r for name in _type_names(obj) if (r := readers.get(name)) is not None), None)
                return reader(obj) if reader is not None and self.enabled else super().__call__(obj)

        shell.display_formatter.formatters[mime] = Formatter(parent=shell.display_formatter)

    figure = ("matplotlib.figure", "Figure")
    # pandas 3 says that its classes are in `pandas`, earlier ones name the module.
    frames = [(module, "DataFrame") for module in ("pandas", "pandas.core.frame")]
    series = [(module, "Series") for module in ("pandas", "pandas.core.series")]
    add(report.CHART_MIME, {figure: report.chart_of})
    others = dict.fromkeys(_OTHER_TABLES, tables.other_table)
    add(tables.TABLE_MIME, others | dict.fromkeys([*frames, *series], tables.table))
    add("e2b/chart", {figure: e2b.chart})
    add("e2b/data", dict.fromkeys(frames, tables.e2b_data))


def _type_names(obj: object) -> list[tuple[str, str]]:
    """Returns where an object's class and its bases are from, and their names."""
    return [(c.__module__, c.__name__) for c in type(obj).__mro__]


def _once(shell: Shell) -> None:
    """Makes IPython show a figure once: not again when it was reported in this cell and has not changed."""
    from IPython.core.formatters import IPythonDisplayFormatter

    class Once(IPythonDisplayFormatter):
        """Answers that a figure was displayed already, when it was."""

        def __call__(self, obj: object) -> Json:
            try:
                if STATE.full and report.is_figure(obj) and report.already_reported(obj):
                    return True
            except Exception:  # noqa: BLE001, S110 - then it is simply displayed
                pass
            return super().__call__(obj)

    old = shell.display_formatter.ipython_display_formatter
    new = Once(parent=shell.display_formatter)
    new.type_printers, new.deferred_printers = old.type_printers, old.deferred_printers
    shell.display_formatter.ipython_display_formatter = new


def _events(shell: Shell) -> None:
    """Calls `_before` and `_after` around every cell, from the running one on."""
    shell.events.register("pre_execute", _before)
    # First of all: matplotlib's inline backend flushes and closes the open figures in the same event.
    shell.events.callbacks["post_execute"].insert(0, _after)
    STATE.threads = {thread.ident for thread in threading.enumerate()}
    _before()


def _before() -> None:
    """Begins with a cell."""
    STATE.cell = int(getattr(STATE.shell, "execution_count", 0))
    STATE.published = 0
    _WATCH.start()


def _after() -> None:
    """Reports what a cell saved, closed and wrote."""
    for step in (report.sweep, web.sweep, _report_files):
        try:
            step()
        except Exception:  # noqa: BLE001, S110 - reporting must never fail a cell that ran well
            pass
    STATE.pending, STATE.last = [], None  # figures must not live longer than their cell because of us


def _report_files() -> None:
    """Publishes the files that a cell wrote, and those that came since the cell before."""
    if STATE.unseen:  # a hidden cell: what came before it is for the next cell of the user's to report
        STATE.unseen = False
        return
    found = _WATCH.written()
    if found:
        names = ", ".join(item["path"].rpartition("/")[2] for item in found["files"][:5])
        STATE.shell.display_pub.publish(data={"text/plain": f"wrote {names}", files.FILES_MIME: found}, metadata={})
