"""The build context as BuildKit sees it: files, links, empty folders and .dockerignore."""

from buildtasks.context.ignorefile import ignore_file
from buildtasks.context.patterns import Patterns
from buildtasks.context.walk import Entry, location, paths, walk

__all__ = ["Entry", "Patterns", "ignore_file", "location", "paths", "walk"]
