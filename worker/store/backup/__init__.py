"""A copy of all that is kept, which grows by what is new, and its way back."""
