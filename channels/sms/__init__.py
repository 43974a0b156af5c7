"""SMS: texts to parts, addresses, and the channel over SMPP."""
