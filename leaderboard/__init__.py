"""The leaderboard: result records in, one static folder out, and how results get there.

Of the harness it reads records and statistics, and where pictures are packed or checked, the store's files.
"""
