"""Who may come in: login token, sessions, and the guard in front of every route."""
