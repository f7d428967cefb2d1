"""What was accepted of earlier runs, kept in a file that a project commits, and how a run has drifted from it."""
