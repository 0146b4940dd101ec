"""Pages about fact sets."""
