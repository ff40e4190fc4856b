"""What both ends of a sandbox's sockets agree on. Imports nothing of ours."""
