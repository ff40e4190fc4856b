"""A kernel runs this file when it starts: lists, dicts, tables and figures get data beside their text, as at E2B."""

import sys
from typing import Any

import IPython
from IPython.core.formatters import BaseFormatter, JSONFormatter
from traitlets.traitlets import ObjectName, Unicode


class TableFormatter(BaseFormatter):
    """Gives `e2b/data` to a DataFrame: its columns as lists. Values that JSON has no form for make the cell fail."""

    format_type = Unicode("e2b/data")
    print_method = ObjectName("_repr_e2b_data_")
    _return_type = (dict, str)

    def __call__(self, obj: object) -> object:
        pandas = sys.modules.get("pandas")  # not imported here: without it there is no DataFrame
        if pandas is None or not isinstance(obj, pandas.DataFrame):
            return super().__call__(obj)
        table = obj.to_dict(orient="list")
        return {
            name: [value.isoformat() if isinstance(value, pandas.Timestamp) else value for value in column]
            for name, column in table.items()
        }


class FigureFormatter(BaseFormatter):
    """Gives `e2b/chart` to a figure of matplotlib: E2B's own extraction, `{}` where it fails."""

    format_type = Unicode("e2b/chart")
    print_method = ObjectName("_repr_e2b_chart_")
    _return_type = (dict, str)

    def __call__(self, obj: object) -> object:
        if "matplotlib" not in sys.modules:
            return super().__call__(obj)
        from matplotlib.figure import Figure

        if not isinstance(obj, Figure):
            return super().__call__(obj)
        from e2b_charts import chart_figure_to_dict

        try:
            found: object = chart_figure_to_dict(obj)
        except Exception:  # noqa: BLE001 - whatever it is, the figure's picture is shown
            return {}
        return found


class ListsAndDicts(JSONFormatter):
    """Gives `application/json` to lists and dicts that are JSON."""

    def __call__(self, obj: object) -> object:
        if isinstance(obj, (list, dict)):
            import orjson

            try:
                written = orjson.dumps(obj, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_NON_STR_KEYS)
                return orjson.loads(written), {"expanded": True}
            except TypeError:
                pass
        return super().__call__(obj)


ip: Any = IPython.get_ipython()
ip.display_formatter.formatters["e2b/data"] = TableFormatter(parent=ip.display_formatter)
ip.display_formatter.formatters["e2b/chart"] = FigureFormatter(parent=ip.display_formatter)
ip.display_formatter.formatters["application/json"] = ListsAndDicts(parent=ip.display_formatter)
