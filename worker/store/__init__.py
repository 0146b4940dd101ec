"""What app and worker both remember: tables, migrations, runs, artifacts. No torch."""
