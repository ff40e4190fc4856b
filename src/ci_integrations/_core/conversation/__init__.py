"""Decides which sandbox and which kernel a conversation's call gets, and what the conversation is told of them."""
