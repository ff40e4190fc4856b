"""Trusted code builds a sandbox before a user's code runs in it. It imports `protocol` alone, never `guest`."""
