"""The pytest suite here checks the contract of an E2B endpoint: the same for our local server and for the cloud.

    pytest --pyargs ci_integrations.testing.conformance                     # the local server
    E2B_API_KEY=... pytest --pyargs ci_integrations.testing.conformance    # the cloud

`CONFORMANCE_TEMPLATE=jupyter` before it names another template than the SDK's own. All checks go through the unmodified
E2B SDK. A check that does not hold in the cloud is a fault of the check.
"""

from __future__ import annotations

from typing import Any

Options = dict[str, Any]
"""Keyword arguments that lead a call of the SDK to the endpoint."""
