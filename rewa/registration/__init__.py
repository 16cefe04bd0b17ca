"""The recommended model of a sweep, checked and ready for a registry."""
