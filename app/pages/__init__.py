"""The pages, one file each: `router`, and `NAV = (title, path)` for those in the menu."""
