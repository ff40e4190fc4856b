"""Keeps the bytes of artifacts outside of messages. The public face of `results/store.py`: we do not import it."""

from ci_integrations.results.store import ArtifactStore

__all__ = ["ArtifactStore"]
