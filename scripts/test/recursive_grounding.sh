#!/usr/bin/env bash
# Charades-STA, ActivityNet-Captions, NExT-GQA and QVHighlights: bash scripts/test/recursive_grounding.sh [key=value ...]
. "$(dirname "$0")/launch.sh"
for benchmark in ${BENCHMARKS:-charades_sta anetc nextgqa qvhighlights}; do
    launch "$benchmark" "$@"
done
