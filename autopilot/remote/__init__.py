"""The engine behind a socket: what client and daemon say to one another, who may say it, and both ends of the line."""
