"""The board as one folder of pages: groups that may be compared, their rows, and the data that pages load."""
