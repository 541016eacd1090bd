#!/usr/bin/env bash
# A backup, a look whether all is there, and what is old forgotten. Stopped, it goes on with what was
# stored when it is run again. It says something only where something is wrong, so that cron sends
# mail then.
#
# Variables: BACKUPS, the repository: a folder, or a place in object storage; MANIFEST, what is backed
# up (manifests/nightly-backup.yaml of mlporter); MLFLOW_TRACKING_URI, from where, as the manifest
# says. FORGET, what stays (manifests/forget-old-backups.yaml); without it, everything does.
set -euo pipefail

: "${BACKUPS:?is the repository of the backups}" "${MANIFEST:?is the manifest to run}"
export BACKUPS

mlporter run "$MANIFEST" --quiet --no-progress
mlporter verify "$BACKUPS" --quick --quiet --no-progress > /dev/null

# Only once today's is whole.
if [ -n "${FORGET:-}" ]; then
    mlporter run "$FORGET" --quiet --no-progress
fi
