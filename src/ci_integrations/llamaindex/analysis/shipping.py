"""Brings `kernel/` and the reader of files into a kernel, and writes the cell that calls it."""

from __future__ import annotations

import json

from ci_integrations._core.hidden.shipping import FINDER, Shipment
from ci_integrations.llamaindex.analysis.kernel.model import MARK, Request

SOURCE = Shipment(_ci_analysis="llamaindex/analysis/kernel", _ci_reader="tables/reader")
"""What loads and describes the data in a kernel."""

_CELL = """
import json
analysis = find(*{analysis!r})
if analysis is None:
    said = {{"source": False, "absent": True}}
else:
    said = analysis.prepare(json.loads({request!r}), shell, lambda: find(*{reader!r}))
print(json.dumps(said))
"""


def prepare_cell(request: Request) -> str:
    """Returns a cell that loads what is not loaded, or says what the kernel lacks; see `read_prepared`."""
    code = FINDER + _CELL.format(
        analysis=SOURCE.wanted("_ci_analysis"), reader=SOURCE.wanted("_ci_reader"), request=json.dumps(request)
    )
    # Everything lives in one namespace of its own: the user's names stay the user's.
    return f"{MARK}\nexec({code!r}, {{'shell': get_ipython()}})"
