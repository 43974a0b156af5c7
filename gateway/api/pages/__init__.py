"""The pages for people: what this is, and how the API is called. No script, nothing from elsewhere."""
