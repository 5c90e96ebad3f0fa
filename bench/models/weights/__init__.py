"""Files of weights: where they are published, where they are here, and that they are whole."""
