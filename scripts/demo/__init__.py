"""All that hakit does, shown on the embedded lab."""
