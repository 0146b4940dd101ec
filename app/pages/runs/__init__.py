"""Pages about runs, their results and how they compare."""
