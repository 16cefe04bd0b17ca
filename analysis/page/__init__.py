"""The report: its page, its Markdown and its tables as files."""
