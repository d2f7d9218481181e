"""The figures that README quotes: each row a command, its seeds, and what they came to."""
