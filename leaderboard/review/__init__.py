"""What a reviewer asks of an entry: checks of files and records, scores computed again, rows to compare it with."""
