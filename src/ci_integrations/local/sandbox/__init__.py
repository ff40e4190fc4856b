"""What holds hostile code: a fork server, the namespaces and limits of a sandbox, and the kernels that run in it.

Only the server comes in, by way of `engine`, `api`, `context`, `worker_client` and `network`. What runs where:
`zygote`, `agent` and the levels are trusted and out of user code's reach; `kernel*` shares its process with user code,
and nothing that comes from there is believed.
"""
