"""Explore: one prompt, or a pair of them, in every view of what happens inside."""
