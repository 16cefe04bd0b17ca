"""Cluster files for ``ray up``: what is wrong with one, before it costs anything."""
