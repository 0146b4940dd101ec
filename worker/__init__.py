"""Everything that computes. Never imports app."""
