"""chatmail: a chat that a team starts with one command, whose direct messages reach people by email."""

__version__ = "0.1.0"
