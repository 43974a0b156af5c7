"""The queue: who says "look here" to the dispatchers. The truth about deliveries lives in the store, never here."""
