"""Code that runs inside a sandbox, next to hostile code. Nothing it says is trusted; it imports `protocol` alone."""
