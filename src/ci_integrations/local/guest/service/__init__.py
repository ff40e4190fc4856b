"""E2B's code-interpreter service, as it behaves: a real jupyter-server with real kernels, and a small server before it.

Both run inside a sandbox of the kind `jupyter`. The local server's host side reads nothing of what they say: it passes
the bytes of port 49999 on.
"""
