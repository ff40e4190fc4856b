"""What the LangChain and LlamaIndex adapters do alike. Imports no framework."""
