"""The command line `lethe`."""
