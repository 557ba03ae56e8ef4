"""The OpenAI-compatible front door: hold, stream, tell."""
