"""The same scoreboard for a terminal, a program, a repository and a browser."""
