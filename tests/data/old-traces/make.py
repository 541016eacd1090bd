"""Write one trace into a file store with the MLflow that runs this, and print its `traces.json`.

    python make.py > mlflow-VERSION.json

in an environment with that MLflow. MLflow 2 and 3.1 need `opentelemetry-sdk<1.28`: with a newer one
they never end a trace.
"""

import os
import sys
import tempfile
from pathlib import Path

os.environ["MLFLOW_ENABLE_ASYNC_LOGGING"] = "false"

import mlflow

with tempfile.TemporaryDirectory() as folder:
    mlflow.set_tracking_uri(f"file://{folder}/mlruns")
    mlflow.set_experiment("traced")
    with mlflow.start_span("outer", span_type="CHAIN") as outer:
        outer.set_inputs({"question": "größer?"})
        outer.set_attribute("number", 7)
        with mlflow.start_span("inner", span_type="LLM") as inner:
            inner.set_outputs(["a", {"b": None}])
            inner.add_event(mlflow.entities.SpanEvent("noticed", attributes={"what": "it"}))
    try:
        with mlflow.start_span("broken"):
            int("on purpose")
    except ValueError:
        pass
    if hasattr(mlflow, "flush_trace_async_logging"):
        mlflow.flush_trace_async_logging()
    for found in sorted(Path(folder).rglob("traces.json")):
        text = found.read_text().replace(sys.prefix, "/environment")
        sys.stdout.write(text.replace(str(Path(__file__).parent), ".") + "\n")
