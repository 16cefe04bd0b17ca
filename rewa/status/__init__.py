"""What a sweep is doing or what became of it, told from its output directory alone."""
