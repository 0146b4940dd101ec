"""What every edit does to weights: parts of tensors, the frame around an edit, its receipt."""
