#!/usr/bin/env bash
# Charades-STA, ActivityNet-Captions and NExT-GQA, the paper's three: bash scripts/test/recursive_grounding.sh [key=value ...]
# QVHighlights, which the paper did not measure, runs where it is asked for: BENCHMARKS=qvhighlights bash scripts/test/...
. "$(dirname "$0")/launch.sh"
launch_all "${BENCHMARKS:-charades_sta anetc nextgqa}" "$@"
