"""What the web server and the worker say to each other: frozen specs, results, errors. No torch."""
