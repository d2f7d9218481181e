"""One run: what trains, evaluates and records a single experiment."""

from src import compat

compat.help_libraries()
