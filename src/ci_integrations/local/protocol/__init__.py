"""Holds what both ends of a sandbox's sockets agree on. It imports nothing of ours."""
