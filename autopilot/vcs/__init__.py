"""Git as a witness: what the files are, read without believing the repository's configuration.

The engine builds its own trees from the working tree and keeps their objects in its own store. No program that a
repository's configuration, attributes or hooks name is ever started, and none of its settings changes what is seen.
"""

from autopilot.vcs.diff import FileChange
from autopilot.vcs.repository import Repository
from autopilot.vcs.trees import EngineTrees, TreeSnapshot

__all__ = ["EngineTrees", "FileChange", "Repository", "TreeSnapshot"]
