"""What is said of a run: tables, plots, conclusions, checks."""
