"""From a finished run to an entry: records, method cards, and pictures of people who do not exist."""
