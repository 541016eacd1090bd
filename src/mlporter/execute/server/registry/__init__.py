"""Registered models and prompts, the MCP registry, webhooks."""
