#!/usr/bin/env bash
# Charades-STA, ActivityNet-Captions and NExT-GQA: bash scripts/test/recursive_grounding.sh [key=value ...]
. "$(dirname "$0")/launch.sh"
for benchmark in ${BENCHMARKS:-charades_sta anetc nextgqa}; do
    launch "$benchmark" "$@"
done
