"""The server's side of a sandbox runs in the server's process. It imports `protocol` and `jail`, never `guest`."""
