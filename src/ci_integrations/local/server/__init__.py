"""The E2B-compatible server: one plaintext port that speaks control plane, envd and code interpreter.

Trusted side. It holds no file of a sandbox and runs no user's code: both happen behind `local/host/`.
Started by `local/launcher.py` (as a child of the user's process) or by `ci-integrations serve`.
"""
