#!/usr/bin/env bash
# A backup into a bundle of today, checked. Run again the same day it goes on where it was stopped,
# and does nothing where it is done. It says something only where something is wrong, so that cron
# sends mail then.
#
# Variables: BACKUPS, the folder; MANIFEST, what is exported (manifests/nightly-backup.yaml of
# mlporter); MLFLOW_TRACKING_URI, from where, as the manifest says. KEEP_DAYS, how many days are
# kept; without it, all are.
set -euo pipefail

: "${BACKUPS:?is the folder of the backups}" "${MANIFEST:?is the manifest to run}"
DATE=${DATE:-$(date +%F)}
export BACKUPS DATE
today=$BACKUPS/$DATE
mkdir -p "$BACKUPS"

# Two at a time would wait for the same registry; the lock goes away with this process.
exec 9> "$BACKUPS/.lock"
if ! flock --nonblock 9; then
    echo "backup.sh: another backup into $BACKUPS is at work" >&2
    exit 7
fi

if [ ! -e "$today/manifest.yaml" ]; then
    again=()
    if [ -d "$today/.mlporter" ]; then # what an export has until it is done
        again=(--set resume=true)
    fi
    mlporter run "$MANIFEST" --quiet --no-progress "${again[@]}"
fi
mlporter verify "$today" --quick --quiet --no-progress > /dev/null

# Only once today's is whole, and only bundles whose names are dates.
if [ -n "${KEEP_DAYS:-}" ]; then
    oldest=$(date --date "$DATE - $KEEP_DAYS days" +%F)
    for bundle in "$BACKUPS"/[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]; do
        if [ -e "$bundle/manifest.yaml" ] && [[ $(basename "$bundle") < $oldest ]]; then
            rm -r "$bundle"
        fi
    done
fi
