"""Code of this package runs in a sandbox, beside hostile code, and is not trusted. It imports `protocol` alone."""
