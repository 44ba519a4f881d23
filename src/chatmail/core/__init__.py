"""The pure part: frames, journal, people, hub, mail schedule. No asyncio, no sockets, no files, no clock of its own."""
