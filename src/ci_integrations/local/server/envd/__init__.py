"""Port 49983: what envd does inside a cloud sandbox - files over HTTP, file system and processes over Connect RPC."""
