"""The server's side of a sandbox: trusted, in the server's process. Imports `protocol` and `jail`, never `guest`."""
