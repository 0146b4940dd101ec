"""Models that Lethe can make on request: one file is one recipe."""
