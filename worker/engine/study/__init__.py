"""Studies: their plan, the children they fan out to, and what is made of the results."""
