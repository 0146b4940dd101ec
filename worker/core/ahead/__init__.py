"""What is said before a run: whether it can be done, its memory, time and placement."""
