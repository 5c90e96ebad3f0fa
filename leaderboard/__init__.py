"""The leaderboard: result records in, one static folder out, and how results get there.

Of the harness it reads records and statistics, and where pictures are packed or checked, the store's files.
"""

import bench.core.imports  # noqa: F401  # before anything is imported from where the user stands
