"""Decides which kernel a call gets, and what its answer tells of a kernel that the conversation does not know."""
