"""Pages about the server itself: home, models, workers, bundles, sign-in."""
