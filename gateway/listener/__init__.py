"""The HTTP listener: what stands between a socket and the application, and what a stranger may size there."""
