"""Pages about masks."""
