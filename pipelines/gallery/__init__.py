"""The figures of docs/gallery.md: each row is a command, its seeds, and the scores of its runs."""
