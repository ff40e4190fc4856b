"""What is tried again after a failure, and how long. The public face of `_core/policy.py`: we do not import it."""

from ci_integrations._core.failures import TABLE, Failure
from ci_integrations._core.policy import RecoveryPolicy

__all__ = ["TABLE", "Failure", "RecoveryPolicy"]
