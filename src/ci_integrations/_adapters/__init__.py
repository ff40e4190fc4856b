"""What the LangChain and LlamaIndex adapters do alike. Imports no framework.

An adapter keeps what only its framework can know: how a conversation is named, how a message is built, how events are
sent. Rules about sessions, failures, secrets, files and pictures are here, so that both adapters follow the same ones.
"""
