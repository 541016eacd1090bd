"""Tracking servers, over MLflow's REST API."""
