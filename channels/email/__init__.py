"""E-mail: messages over SMTP, delivery status notifications read back, and the simulated mail server."""
