"""Requests and WebSockets to the ports that programs inside a sandbox open."""
