"""Who takes part in benchmarks/peers.py: each module opens one engine on the same language.gguf and answers tasks."""
