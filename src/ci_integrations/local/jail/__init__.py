"""Trusted code that builds a sandbox before any code of a user runs in it. Imports `protocol` alone, never `guest`."""
