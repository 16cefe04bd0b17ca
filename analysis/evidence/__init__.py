"""What stands behind a decision: how sure the numbers are, what the search tried; one question a module."""
