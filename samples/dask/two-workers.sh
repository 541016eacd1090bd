#!/bin/sh
# Export a registry by two workers on this machine, and verify the bundle by them.
#
#     sh samples/dask/two-workers.sh sqlite:///mlflow.db backup
#
# On a real cluster only the scheduler's address differs: see docs/scale.md.
set -eu

work=$(mktemp -d)
place="$work/scheduler.json"

python -m dask scheduler --host 127.0.0.1 --port 0 --no-dashboard --dashboard-address 127.0.0.1:0 \
    --scheduler-file "$place" 2>"$work/scheduler.log" &
scheduler=$! workers=
trap 'kill $scheduler $workers 2>/dev/null; wait; rm -rf "$work"' EXIT
python -m dask worker --nworkers 2 --nthreads 1 --no-dashboard --scheduler-file "$place" \
    --local-directory "$work" 2>"$work/workers.log" &
workers=$!

until [ -s "$place" ]; do sleep 0.2; done
address=$(python -c 'import json, sys; print(json.load(open(sys.argv[1]))["address"])' "$place")

mlporter export "$1" "$2" --dask "$address"
mlporter verify "$2" --dask "$address"
