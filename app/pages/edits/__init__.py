"""Pages that localize, edit and ask, and the story of an edit."""
