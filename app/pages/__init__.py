"""The pages, one file each: `router`, and `NAV = (order, title, path)` for those in the menu."""
