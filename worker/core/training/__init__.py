"""What trains: one pool, one loop, losses, adapters, the search for settings."""
