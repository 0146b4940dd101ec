"""What every edit does to weights, and the equations that closed-form edits share."""
