"""The control plane: sandboxes are created, listed, paused and killed, as at E2B's API."""
