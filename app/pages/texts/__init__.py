"""Pages about texts to forget."""
