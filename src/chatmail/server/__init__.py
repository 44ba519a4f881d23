"""The server: sockets, the store, SMTP and the operator's prompt around the core."""
