"""Sound: G.711, tones, their detection, speech and prompts."""
