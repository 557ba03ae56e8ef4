"""Azure's LLM inference traces, 2023 and 2024: a date, and the tokens. No model.

Source: github.com/Azure/AzurePublicDataset, AzureLLMInferenceTrace_*.csv.
"""

from pilotlight.sim.traces.layout import Layout

AZURE = Layout("Azure LLM", "TIMESTAMP", "ContextTokens", "GeneratedTokens")
