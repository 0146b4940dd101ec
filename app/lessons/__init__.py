"""The lessons that ship, and those of the folder that `LETHE_LESSONS` names."""
