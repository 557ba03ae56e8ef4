"""pilotlight: serverless LLM inference without the cold start."""

__version__ = "0.1.0"
