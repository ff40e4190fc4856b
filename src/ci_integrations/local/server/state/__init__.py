"""What the server knows: sandboxes, contexts, processes, watchers, templates."""
