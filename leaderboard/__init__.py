"""The leaderboard: result records in, one static folder out. Of the harness it reads `bench.record` alone."""
