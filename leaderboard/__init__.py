"""The leaderboard: result records in, one static folder out. It reads `bench.record` and nothing else of the harness."""
