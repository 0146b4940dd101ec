"""What a lesson is: one file of front matter and Markdown, read strictly, and its expressions."""
