"""What an operator declares: the values, the file they come from, its schema, and how two files differ."""
