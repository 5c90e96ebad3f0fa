"""Measurements that anyone can repeat; not part of the package and not tests."""
